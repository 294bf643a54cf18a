package agent

// This file holds the tables of the rules, one a rule, in order: the first mark
// that is in the user agent decides. Marks are in lower case and at most 32 octets
// long: a longer one would be copied to the heap for every hit. The strings are
// facts seen in logs; what each means is judged here. This file does not know how
// they are looked for.
//
// Left out on purpose, since they hit people: "Microsoft Office" as a bot,
// "OutlookImageProxy" (no evidence that it exists), "java", "atp", "security".

// mark is a piece of a user agent and what it stands for.
type mark struct {
	text   string
	client string
	device string
}

// outlook is the one mail client whose clicks are not a person's (R12b).
const outlook = "Outlook"

// proxies are image proxies of mail providers: a person looks (R08).
var proxies = []mark{
	{"googleimageproxy", "Gmail", Webmail},
	{"yahoomailproxy", "Yahoo Mail", Webmail},
	{"seznamemailproxy", "Seznam Email", Webmail},
	{"ramblermail/", "Rambler Mail", Webmail},
	{"mail.ukr.net proxy", "UkrNet Mail", Webmail},
	{"fastmailua/", "Fastmail", Webmail},
	{"shortwave image fetcher", "Shortwave", Webmail},
}

// unfurlers show a preview of a link that someone posted (R09). TelegramBot says
// "like TwitterBot", and Apple's Messages says Facebot and Twitterbot too.
var unfurlers = []mark{
	{"slackbot", "Slack", Unknown},
	{"slack-imgproxy", "Slack", Unknown},
	{"skypeuripreview", "Skype", Unknown},
	{"microsoftpreview", "Microsoft preview", Unknown},
	{"bingpreview", "Bing preview", Unknown},
	{"telegrambot", "Telegram", Unknown},
	{"discordbot", "Discord", Unknown},
	{"facebookexternalhit", "Facebook", Unknown},
	{"facebot", "Facebook", Unknown},
	{"twitterbot", "Twitter", Unknown},
	{"linkedinbot", "LinkedIn", Unknown},
	{"yahoo link preview", "Yahoo", Unknown},
	{"snap url preview", "Snapchat", Unknown},
	{"iframely/", "Iframely", Unknown},
	{"mattermost-bot", "Mattermost", Unknown},
	{"github-camo", "GitHub", Unknown},
}

// scanners declare themselves: security gateways, remote-controlled browsers,
// probes and daemons of operating systems (R10).
var scanners = []mark{
	{"barracuda", "Barracuda", Unknown},
	{"google-safety", "Google-Safety", Unknown},
	{"cloudflare.com/security-center", "Cloudflare security-center", Unknown},
	{"security-center", "security-center", Unknown},
	{"securityscanner", "SecurityScanner", Unknown},
	{"virustotal", "VirusTotal", Unknown},
	{"scmguard", "SCMGUARD", Unknown},
	{"proofpoint", "Proofpoint", Unknown},
	{"mimecast", "Mimecast", Unknown},
	{"headlesschrome", "HeadlessChrome", Unknown},
	{"phantomjs", "PhantomJS", Unknown},
	{"playwright", "Playwright", Unknown},
	{"puppeteer", "Puppeteer", Unknown},
	{"selenium", "Selenium", Unknown},
	{"office existence discovery", "Office link probe", Unknown},
	{"office protocol discovery", "Office link probe", Unknown},
	{"microsoft exchange/", "Microsoft Exchange", Unknown},
	{"dataaccessd/", "dataaccessd", Unknown},
	{"amazon cloudfront", "Amazon CloudFront", Unknown},
}

// libraries make requests for programs (R11). The special stands before the
// general: aiohttp comes after "Python/3.9" in the same user agent.
var libraries = []mark{
	{"python-requests/", "python-requests", Unknown},
	{"python-urllib/", "python-urllib", Unknown},
	{"python-httpx/", "python-httpx", Unknown},
	{"aiohttp/", "aiohttp", Unknown},
	{"python/", "Python", Unknown},
	{"go-http-client", "Go-http-client", Unknown},
	{"go-resty/", "go-resty", Unknown},
	{"curl/", "curl", Unknown},
	{"libcurl", "curl", Unknown},
	{"wget/", "Wget", Unknown},
	{"okhttp/", "okhttp", Unknown},
	{"axios/", "axios", Unknown},
	{"node-fetch", "node-fetch", Unknown},
	{"node-superagent", "superagent", Unknown},
	{"undici", "undici", Unknown},
	{"got (", "got", Unknown},
	{"ahc/", "AHC", Unknown},
	{"apache-httpclient/", "Apache-HttpClient", Unknown},
	{"apache-httpasyncclient/", "Apache-HttpClient", Unknown},
	{"jakarta commons-httpclient/", "Apache-HttpClient", Unknown},
	{"java-http-client/", "Java", Unknown},
	{"java/", "Java", Unknown},
	{"lua-resty-http", "lua-resty-http", Unknown},
	{"libwww-perl", "libwww-perl", Unknown},
	{"guzzlehttp/", "Guzzle", Unknown},
	{"php/", "PHP", Unknown},
	{"faraday v", "Faraday", Unknown},
	{"httpie/", "HTTPie", Unknown},
	{"postmanruntime/", "Postman", Unknown},
	{"reqwest/", "reqwest", Unknown},
	{"imgproxy/", "imgproxy", Unknown},
}

// wholeLibraries are libraries whose user agent is this and no more (R11).
var wholeLibraries = []mark{
	{"node", "Node.js", Unknown},
	{"ruby", "Ruby", Unknown},
}

// macClients begin with their name and name Apple's network library further on
// (R12). The versions are those of iOS 8 and 9, whose Mail does not say that it
// is on a telephone.
var macClients = []mark{
	{"outlook/ cfnetwork/", "Outlook for Mac", Desktop},
	{"mail/ cfnetwork/711.", "Apple Mail (iOS)", Mobile},
	{"mail/ cfnetwork/758.", "Apple Mail (iOS)", Mobile},
	{"mail/ cfnetwork/", "Apple Mail", Desktop},
}

// mailClients are people's mail programs (R12).
var mailClients = []mark{
	{"outlook-ios", "Outlook iOS", Mobile},
	{"outlook-android", "Outlook Android", Mobile},
	{"yahoo%20mail", "Yahoo Mail app", Mobile},
	{"yahoomobilemail", "Yahoo Mail app", Mobile},
	{"jp.co.yahoo.ymail", "Yahoo Mail app", Mobile},
	{"android-gmail", "Gmail app", Mobile},
	{"mailmasterpc", "Mail Master", Desktop}, // before its telephone sister
	{"mailmaster", "Mail Master", Mobile},
	{"mailapp/", "MailApp", Mobile},
	{"thunderbird", "Thunderbird", Desktop},
	{"icedove", "Thunderbird", Desktop},
	{"betterbird", "Betterbird", Desktop},
	{"postbox/", "Postbox", Desktop},
	{"spicebird", "Spicebird", Desktop},
	{"seamonkey", "SeaMonkey", Desktop},
	{"oneoutlook/", "New Outlook", Desktop},
	{"macoutlook/", "Outlook for Mac", Desktop},
	{"microsoft outlook", outlook, Desktop},
	{"microsoft office outlook", outlook, Desktop},
	{"ms-office", outlook, Desktop},
	{"msoffice", outlook, Desktop},
	{"outlook-express/", "Outlook Express", Desktop},
	{"windowsmail/", "Windows Mail", Desktop},
	{"airmail", "Airmail", Desktop},
	{"mailbird/", "Mailbird", Desktop},
	{"mailspring/", "Mailspring", Desktop},
	{"bluemail/", "BlueMail", Desktop},
	{"em client/", "eM Client", Desktop},
	{"emclient/", "eM Client", Desktop},
	{"foxmail/", "Foxmail", Desktop},
	{"the bat!", "The Bat!", Desktop},
	{"lotus-notes", "Lotus Notes", Desktop},
	{"kmail", "KMail", Desktop},
	{"evolution/", "Evolution", Desktop},
	{"barca/", "Barca", Desktop}, // with the slash: Embarcadero makes a library
}

// platforms say what a browser runs on (R22). An Android names Linux and X11 now
// and then, an iPhone "like Mac OS X".
var platforms = []mark{
	{"iphone", "", Mobile},
	{"ipad", "", Mobile},
	{"android", "", Mobile},
	{"mobile", "", Mobile},
	{"windows nt", "", Desktop},
	{"macintosh", "", Desktop},
	{"x11", "", Desktop},
	{"cros ", "", Desktop},
}

// browsers are those that the library would not name, or call by the name of
// another (R22).
var browsers = []mark{
	{"gsa/", "Google app", Unknown},
	{"whatsappelectron/", "WhatsApp Desktop", Unknown},
	{"samsungbrowser/", "Samsung Internet", Unknown},
	{"trident/", "Internet Explorer", Unknown}, // version 11 says no more
}

// browserNames are the names that are taken from the library (R22).
var browserNames = []string{
	"Chrome", "Edge", "Firefox", "Internet Explorer", "Opera", "Opera Mini", "Opera Touch", "Safari", "Vivaldi",
	"Facebook App", "Instagram App", "TikTok App",
}
