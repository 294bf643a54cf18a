package agent

// These tests are of user agents as they are seen, so that a rule that is made
// wider shows at once whom it hits. The labels are ours.

import "testing"

// seen is a user agent with what must come out of it.
type seen struct {
	ua, client, device string
}

const (
	webKit = " AppleWebKit/537.36 (KHTML, like Gecko) "
	gecko  = " Gecko/20100101 "
	win    = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
	mac    = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
	linux  = "Mozilla/5.0 (X11; Linux x86_64)"
	phone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X)"
	droid  = "Mozilla/5.0 (Linux; Android 10; K)"
)

func judge(t *testing.T, class string, rules map[string]bool, isClick bool, rows []seen) {
	t.Helper()
	for _, row := range rows {
		got := Classify(Request{Method: "GET", UserAgent: row.ua, Click: isClick})
		if got.Class != class || !rules[got.Rule] || got.Client != row.client || got.Device != row.device {
			t.Errorf("%q, click %v\ngot  %+v\nwant %s, %s, %s by one of %v", row.ua, isClick, got, class, row.client, row.device, rules)
		}
	}
}

// Browsers are people's, on opens (webmail shows images) and on clicks (EV-R22).
func TestBrowsersAreSeen(t *testing.T) {
	rows := []seen{
		{win + webKit + "Chrome/140.0.0.0 Safari/537.36", "Chrome", Desktop},
		{mac + webKit + "Chrome/140.0.0.0 Safari/537.36", "Chrome", Desktop},
		{linux + webKit + "Chrome/140.0.0.0 Safari/537.36", "Chrome", Desktop},
		{"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0)" + webKit + "Chrome/138.0.0.0 Safari/537.36", "Chrome", Desktop},
		{droid + webKit + "Chrome/140.0.0.0 Mobile Safari/537.36", "Chrome Mobile", Mobile},
		{droid + webKit + "Chrome/140.0.0.0 Safari/537.36", "Chrome Mobile", Mobile}, // a tablet
		{win + webKit + "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0", "Edge", Desktop},
		{droid + webKit + "Chrome/140.0.0.0 Mobile Safari/537.36 EdgA/140.0.0.0", "Edge", Mobile},
		{win + webKit + "Chrome/140.0.0.0 Safari/537.36 OPR/124.0.0.0", "Opera", Desktop},
		{win + webKit + "Chrome/140.0.0.0 Safari/537.36 Vivaldi/7.5.3735.64", "Vivaldi", Desktop},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0)" + gecko + "Firefox/143.0", "Firefox", Desktop},
		{"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:143.0)" + gecko + "Firefox/143.0", "Firefox", Desktop},
		{"Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0", "Firefox", Mobile},
		{mac + " AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15", "Safari", Desktop},
		{phone + " AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.2 Mobile/15E148 Safari/604.1", "Mobile Safari", Mobile},
		{droid + webKit + "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36", "Samsung Internet", Mobile},
		{phone + " AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/376.0.777690323 Mobile/15E148 Safari/604.1", "Google app", Mobile},
		{"Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer", Desktop},
		{"Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)", "Internet Explorer", Desktop},
		// Words that rules of others take for machines.
		{"Mozilla/5.0 (Linux; Android 10; CUBOT_NOTE_20)" + webKit + "Chrome/140.0.0.0 Mobile Safari/537.36", "Chrome Mobile", Mobile},
		{"Mozilla/5.0 (Linux; Android 11; CUBOT X50 Build/RP1A)" + webKit + "Chrome/140.0.0.0 Mobile Safari/537.36", "Chrome Mobile", Mobile},
		{"Mozilla/5.0 (Windows NT 6.1; Trident/7.0; MATPJS; rv:11.0) like Gecko", "Internet Explorer", Desktop},
		{win + webKit + "Chrome/140.0.0.0 Safari/537.36 QIHU 360SE security", "Chrome", Desktop},
		{win + webKit + "WhatsAppElectron/1.0.3 Chrome/108.0.5359.215 Electron/22.3.27 Safari/537.36", "WhatsApp Desktop", Desktop},
	}
	rules := map[string]bool{"R22": true}
	judge(t, Person, rules, false, rows)
	judge(t, Person, rules, true, rows)
}

// Mail programs are people's when they show an image (EV-R12, R20, R21).
func TestMailProgramsAreSeen(t *testing.T) {
	judge(t, Person, map[string]bool{"R12": true, "R20": true, "R21": true}, false, []seen{
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0)" + gecko + "Thunderbird/140.3.0", "Thunderbird", Desktop},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0)" + gecko + "Thunderbird/140.3.0", "Thunderbird", Desktop},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:24.0)" + gecko + "Icedove/24.4.0", "Thunderbird", Desktop},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0)" + gecko + "Betterbird/128.5.1", "Betterbird", Desktop},
		{"Mozilla/5.0 (Windows NT 6.2; WOW64; rv:7.0.1) Gecko/20151105 Postbox/4.0.8", "Postbox", Desktop},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:60.0)" + gecko + "SeaMonkey/2.53.18", "SeaMonkey", Desktop},
		{win + webKit + "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0 OneOutlook/1.2026.317.100", "New Outlook", Desktop},
		{"Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)", "Outlook", Desktop},
		{"Microsoft Office/14.0 (Windows NT 6.1; Microsoft Outlook 14.0.7268; Pro)", "Outlook", Desktop},
		{"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.0; Trident/4.0; InfoPath.2; MSOffice 14)", "Outlook", Desktop},
		{"MacOutlook/16.100.25081015 (Intelx64 Mac OS X 15.6 (Build 24G84))", "Outlook for Mac", Desktop},
		{"Outlook/16.100 CFNetwork/3826.600.41 Darwin/24.6.0", "Outlook for Mac", Desktop},
		{"Outlook-iOS/719.3623017.prod.iphone (4.20.0)", "Outlook iOS", Mobile},
		{"Outlook-Android/2.0", "Outlook Android", Mobile},
		{"Outlook-Express/7.0 (MSIE 7.0; Windows NT 6.1; WOW64; Trident/7.0)", "Outlook Express", Desktop},
		{"Yahoo%20Mail/49268 CFNetwork/1121.2.2 Darwin/19.3.0", "Yahoo Mail app", Mobile},
		{"YahooMobileMail/1.0 (Android Mail; 1.3.10)", "Yahoo Mail app", Mobile},
		{"Android-Gmail/64562652 (sw411dp; 420dpi) (r7 TP1A.220624.014)", "Gmail app", Mobile},
		{"Mail/3826.700.81 CFNetwork/3826.600.41 Darwin/24.6.0", "Apple Mail", Desktop},
		{"Mail/53 CFNetwork/758.5.3 Darwin/15.6.0", "Apple Mail (iOS)", Mobile},
		{mac + " AppleWebKit/605.1.15 (KHTML, like Gecko)", "Mac mail app (Apple Mail)", Desktop},
		{phone + " AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", "Apple Mail (iOS)", Mobile},
		{"Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", "Apple Mail (iOS)", Mobile},
		{"Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UD1A; wv)" + webKit + "Version/4.0 Chrome/140.0.7339.51 Mobile Safari/537.36", "Android mail app", Mobile},
		{"Airmail 5.7.4 (Macintosh; Mac OS X 14.5; en_GB)", "Airmail", Desktop},
		{win + webKit + "Chrome/51.0.2704.103 Safari/537.36 Mailbird/2.4.30.0/", "Mailbird", Desktop},
		{win + webKit + "Mailspring/1.15.1 Chrome/124.0.0.0 Electron/30.0.0 Safari/537.36", "Mailspring", Desktop},
		{win + webKit + "BlueMail/0.10.31 Chrome/61.0.3163.100 Electron/2.0.18 Safari/537.36", "BlueMail", Desktop},
		{win + webKit + "Chrome/55.0.2883.87 Safari/537.36 eM Client/8.2.1659.0", "eM Client", Desktop},
		{win + webKit + "Chrome/101.0.4951.67 Safari/537.36 Foxmail/7.2.25.213", "Foxmail", Desktop},
		{"The Bat! 4.0.0.22", "The Bat!", Desktop},
		{linux + " AppleWebKit/534.34 (KHTML, like Gecko) kmail2/4.14.2 Safari/534.34", "KMail", Desktop},
		{"Evolution/3.26.2.1", "Evolution", Desktop},
		{"Barca/2.8.4400", "Barca", Desktop},
		{"Mozilla/4.0 (compatible; Lotus-Notes/6.0; Windows-NT)", "Lotus Notes", Desktop},
	})
}

// Machines that say what they are, on opens and on clicks (EV-R09 to EV-R13).
func TestMachinesAreSeen(t *testing.T) {
	rows := []seen{
		{"Slackbot 1.0 (+https://api.slack.com/robots)", "Slack", Unknown},
		{"Slack-ImgProxy (+https://api.slack.com/robots)", "Slack", Unknown},
		{"Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5", "Skype", Unknown},
		{"Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "Discord", Unknown},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0", "Facebook", Unknown},
		{"Twitterbot/1.0", "Twitter", Unknown},
		{"WhatsApp/2.23.20.0 A", "WhatsApp", Unknown},
		{win + webKit + "BingPreview/1.0b Chrome/116.0.0.0 Safari/537.36", "Bing preview", Unknown},
		{"github-camo (76f1a7b5)", "GitHub", Unknown},
		{"Google-Safety", "Google-Safety", Unknown},
		{linux + webKit + "HeadlessChrome/140.0.0.0 Safari/537.36", "HeadlessChrome", Unknown},
		{"Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1", "PhantomJS", Unknown},
		{"Microsoft Office Existence Discovery", "Office link probe", Unknown},
		{"macOS/13.4 (22F66) dataaccessd/1.0", "dataaccessd", Unknown},
		{"Amazon CloudFront", "Amazon CloudFront", Unknown},
		{"python-requests/2.32.3", "python-requests", Unknown},
		{"Python-urllib/3.12", "python-urllib", Unknown},
		{"Python/3.12 aiohttp/3.10.5", "aiohttp", Unknown},
		{"Go-http-client/2.0", "Go-http-client", Unknown},
		{"curl/8.9.1", "curl", Unknown},
		{"Wget/1.24.5", "Wget", Unknown},
		{"okhttp/4.12.0", "okhttp", Unknown},
		{"axios/1.7.7", "axios", Unknown},
		{"Apache-HttpClient/5.3.1 (Java/21.0.4)", "Apache-HttpClient", Unknown},
		{"Java/21.0.4", "Java", Unknown},
		{"Java-http-client/21.0.4", "Java", Unknown},
		{"GuzzleHttp/7", "Guzzle", Unknown},
		{"Ruby", "Ruby", Unknown},
		{"node", "Node.js", Unknown},
		{"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bot", Unknown},
		{"Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "bot", Unknown},
		{"Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "bot", Unknown},
		{"Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)", "bot", Unknown},
		{"ia_archiver crawler", "bot", Unknown},
	}
	rules := map[string]bool{"R09": true, "R10": true, "R11": true, "R13": true}
	judge(t, Scanner, rules, false, rows)
	judge(t, Scanner, rules, true, rows)
}

// Image proxies fetch when a person looks (EV-R08); nobody knows who the rest are
// (EV-R23).
func TestProxiesAndStrangersAreSeen(t *testing.T) {
	judge(t, Proxy, map[string]bool{"R08": true}, false, []seen{
		{"Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "Gmail", Webmail},
		{"Firefox/11.0 (via ggpht.com GoogleImageProxy)", "Gmail", Webmail},
		{"YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "Yahoo Mail", Webmail},
		{"SeznamEmailProxy/2.0", "Seznam Email", Webmail},
		{"RamblerMail/6.0 (incompatible; ImageProxy/6.0)", "Rambler Mail", Webmail},
		{"Mozilla/5.0 (Windows NT 10.0)" + webKit + "Chrome/55.0.2883.87 Safari/537.36 (via secureurl.fwdcdn.com - mail.ukr.net proxy)", "UkrNet Mail", Webmail},
		{win + webKit + "Chrome/120.0.0.0 Safari/537.36 FastmailUA/1.0", "Fastmail", Webmail},
		{"Shortwave Image Fetcher", "Shortwave", Webmail},
		{"Superhuman", "Superhuman", Unknown},
	})
	rows := []seen{
		{"-", Unknown, Unknown}, {"Mozilla", Unknown, Unknown}, {"Mozilla/4.0", Unknown, Unknown}, {"MyApp/1 CFNetwork/1333.0.4 Darwin/21.5.0", Unknown, Unknown},
		{"Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)", Unknown, Unknown}, {"Microsoft Office/16.0 (Windows NT 10.0; Microsoft Word 16.0.17328; Pro)", Unknown, Unknown},
	}
	judge(t, Unclear, map[string]bool{"R23": true}, false, rows)
	judge(t, Unclear, map[string]bool{"R23": true}, true, rows)
}
