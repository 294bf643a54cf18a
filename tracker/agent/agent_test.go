package agent

// These tests hold every rule by at least one row, and the labelled user agents
// of the shared data. They know no rule's code.

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	iPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.2 Mobile/15E148 Safari/604.1"
	chrome  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36"
	edge12  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246"
	macMail = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
	webView = "Mozilla/5.0 (Linux; Android 9; SHV46; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/79.0.3945.93 Mobile Safari/537.36"
	gmail   = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
	office  = "Mozilla/4.0 (compatible; ms-office; MSOffice 16)"
)

func open(ua string) Request  { return Request{Method: "GET", UserAgent: ua} }
func click(ua string) Request { return Request{Method: "GET", UserAgent: ua, Click: true} }

// EV-R00 to EV-R23, a row or more each, and the traps of events.md.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Request
		want Verdict
	}{
		{"R00 open", Request{Early: true, Method: "GET", UserAgent: iPhone}, Verdict{Scanner, "R00", Certain, Unknown, Unknown}},
		{"R00 wins over HEAD", Request{Early: true, Method: "HEAD", Click: true, UserAgent: iPhone}, Verdict{Scanner, "R00", Certain, Unknown, Unknown}},
		{"R01 with a perfect user agent", Request{Method: "HEAD", UserAgent: iPhone, Click: true}, Verdict{Scanner, "R01", Certain, Unknown, Unknown}},
		{"R01 of a proxy", Request{Method: "HEAD", UserAgent: gmail}, Verdict{Scanner, "R01", Certain, Unknown, Unknown}},
		{"R02 Sec-Purpose", Request{Method: "GET", UserAgent: chrome, Click: true, SecPurpose: "prefetch;prerender"}, Verdict{Prefetch, "R02", Certain, Desktop, "Chrome"}},
		{"R02 Purpose", Request{Method: "GET", UserAgent: iPhone, Click: true, Purpose: "Preview"}, Verdict{Prefetch, "R02", Certain, Mobile, "Mobile Safari"}},
		{"R02 X-Moz", Request{Method: "GET", UserAgent: gmail, XMoz: "prefetch"}, Verdict{Prefetch, "R02", Certain, Webmail, "Gmail"}},
		{"R02 another purpose", Request{Method: "GET", UserAgent: chrome, Purpose: "navigate"}, Verdict{Person, "R22", Medium, Desktop, "Chrome"}},
		{"R03 open", open(""), Verdict{Scanner, "R03", High, Unknown, Unknown}},
		{"R03 click", click(""), Verdict{Scanner, "R03", High, Unknown, Unknown}},
		{"R05 open", open("Mozilla/5.0"), Verdict{Prefetch, "R05", Medium, Unknown, "Apple Mail (MPP)"}},
		{"R05 click", click("Mozilla/5.0"), Verdict{Scanner, "R05", High, Unknown, Unknown}},
		{"R05 only when equal", open("Mozilla/5.0 "), Verdict{Unclear, "R23", Low, Unknown, Unknown}},
		{"R07", open(edge12 + " Mozilla/5.0"), Verdict{Prefetch, "R07", High, Webmail, "Gmail"}},
		{"R07 not: a genuine Edge", open(edge12), Verdict{Person, "R22", Medium, Desktop, "Edge"}},
		{"R08 Gmail", open(gmail), Verdict{Proxy, "R08", High, Webmail, "Gmail"}},
		{"R08 Yahoo", open("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"), Verdict{Proxy, "R08", High, Webmail, "Yahoo Mail"}},
		{"R08 Superhuman", open("Superhuman"), Verdict{Proxy, "R08", High, Unknown, "Superhuman"}},
		{"R09", click("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"), Verdict{Scanner, "R09", Certain, Unknown, "Slack"}},
		{"R09 WhatsApp", click("WhatsApp/2.23.20.0 A"), Verdict{Scanner, "R09", Certain, Unknown, "WhatsApp"}},
		{"R09 WhatsApp alone", click("WhatsApp"), Verdict{Scanner, "R09", Certain, Unknown, "WhatsApp"}},
		{"R09 not: WhatsApp's desktop program", click(strings.Replace(chrome, "Chrome/", "WhatsAppElectron/1.0.3 Chrome/", 1)), Verdict{Person, "R22", Medium, Desktop, "WhatsApp Desktop"}},
		{"R10", click("Barracuda Sentinel (EE)"), Verdict{Scanner, "R10", Certain, Unknown, "Barracuda"}},
		{"R10 probe", open("Microsoft Office Protocol Discovery"), Verdict{Scanner, "R10", Certain, Unknown, "Office link probe"}},
		{"R10 CloudFront", open("Amazon CloudFront"), Verdict{Scanner, "R10", Certain, Unknown, "Amazon CloudFront"}},
		{"R11 in front", click("python-requests/2.32.3"), Verdict{Scanner, "R11", Certain, Unknown, "python-requests"}},
		{"R11 later", click("2Bone_LinkChecker/1.0 libwww-perl/6.03"), Verdict{Scanner, "R11", Certain, Unknown, "libwww-perl"}},
		{"R11 the special one", click("Python/3.9 aiohttp/3.7.3"), Verdict{Scanner, "R11", Certain, Unknown, "aiohttp"}},
		{"R11 one word", click("node"), Verdict{Scanner, "R11", Certain, Unknown, "Node.js"}},
		{"R11 not: a browser that names Java", click(strings.Replace(chrome, "Win64", "Java/1.8 java/1.8", 1)), Verdict{Person, "R22", Medium, Desktop, Unknown}},
		{"R11 not: inside a word", open("Mymail/1.0 (ajava/1)"), Verdict{Unclear, "R23", Low, Unknown, Unknown}},
		{"R12 Outlook", open(office), Verdict{Person, "R12", High, Desktop, "Outlook"}},
		{"R12 iOS 8", open("Mail/53 CFNetwork/711.2.23 Darwin/14.0.0"), Verdict{Person, "R12", High, Mobile, "Apple Mail (iOS)"}},
		{"R12 Mac", open("Mail/3445.9.1 CFNetwork/902.1 Darwin/17.7.0 (x86_64)"), Verdict{Person, "R12", High, Desktop, "Apple Mail"}},
		{"R12 Outlook for Mac", open("Outlook/16.62 CFNetwork/1333.0.4 Darwin/21.5.0"), Verdict{Person, "R12", High, Desktop, "Outlook for Mac"}},
		{"R12 not: another program of Apple's", open("Weather/1 CFNetwork/1333.0.4 Darwin/21.5.0"), Verdict{Unclear, "R23", Low, Unknown, Unknown}},
		{"R12 not: Embarcadero", open("Embarcadero URI Client/1.0"), Verdict{Unclear, "R23", Low, Unknown, Unknown}},
		{"R12 PC before telephone", open("Mozilla/5.0 (Windows NT 10.0) MailMasterPC/4.15"), Verdict{Person, "R12", High, Desktop, "Mail Master"}},
		{"R12 click in Thunderbird", click("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.0"), Verdict{Person, "R12", High, Desktop, "Thunderbird"}},
		{"R12b", click(office), Verdict{Scanner, "R12b", High, Unknown, "Office link probe"}},
		{"R12b not: new Outlook", click(chrome + " Edg/136.0.0.0 OneOutlook/1.2025.516.400"), Verdict{Person, "R12", High, Desktop, "New Outlook"}},
		{"R13", click("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"), Verdict{Scanner, "R13", High, Unknown, "bot"}},
		{"R13 at the end", click("Some Spider"), Verdict{Scanner, "R13", High, Unknown, "bot"}},
		{"R13 contact", click("Thing/1.0 (+https://thing.example)"), Verdict{Scanner, "R13", High, Unknown, "bot"}},
		{"R13 after a CUBOT", click("CUBOT Baiduspider-render/2.0"), Verdict{Scanner, "R13", High, Unknown, "bot"}},
		{"R13 not: a telephone", click("Mozilla/5.0 (Linux; Android 8.1.0; CUBOT A5) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/74.0.3729.157 Mobile Safari/537.36"), Verdict{Person, "R22", Medium, Mobile, "Chrome Mobile"}},
		{"R13 not: inside a word", open("Mozilla/5.0 (X11; bottom spiderweb) Gecko/1 Firefox/102.0"), Verdict{Person, "R22", Medium, Desktop, "Firefox"}},
		{"R20 Mac", open(macMail), Verdict{Person, "R20", Medium, Desktop, "Mac mail app (Apple Mail)"}},
		{"R20 iPhone", open("Mozilla/5.0 (iPhone; CPU iPhone OS 12_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"), Verdict{Person, "R20", Medium, Mobile, "Apple Mail (iOS)"}},
		{"R20 not: a browser", open(macMail + " Version/17.1 Safari/605.1.15"), Verdict{Person, "R22", Medium, Desktop, "Safari"}},
		{"R20 not: with a version", open("Mozilla/5.0 (iPad; U; CPU OS 3_2 like Mac OS X) AppleWebKit/531.21.10 (KHTML, like Gecko) Version/4.0.4 Mobile/7B334b"), Verdict{Person, "R22", Medium, Mobile, Unknown}},
		{"R20 not: elsewhere", open("Mozilla/5.0 (X11; Linux) AppleWebKit/605.1.15 (KHTML, like Gecko)"), Verdict{Person, "R22", Medium, Desktop, Unknown}},
		{"R21", open(webView), Verdict{Person, "R21", Medium, Mobile, "Android mail app"}},
		{"R21 not: a click", click(webView), Verdict{Person, "R22", Medium, Mobile, "Chrome Mobile"}},
		{"R22 MATP", open("Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/7.0; MATP)"), Verdict{Person, "R22", Medium, Desktop, "Internet Explorer"}},
		{"R22 iPad", click(strings.ReplaceAll(iPhone, "iPhone", "iPad")), Verdict{Person, "R22", Medium, Mobile, "Mobile Safari"}},
		{"R23", open("SomethingElse"), Verdict{Unclear, "R23", Low, Unknown, Unknown}},
		{"R23 no platform", open("Mozilla/5.0 (Unknown) Gecko"), Verdict{Unclear, "R23", Low, Unknown, Unknown}},
		{"case does not matter", open(strings.ToUpper(gmail)), Verdict{Proxy, "R08", High, Webmail, "Gmail"}},
		{"what is past 512 octets does not count", open(strings.Repeat("x", 511) + gmail), Verdict{Unclear, "R23", Low, Unknown, Unknown}},
	} {
		if got := Classify(c.r); got != c.want {
			t.Errorf("%s: %+v\ngot  %+v\nwant %+v", c.name, c.r, got, c.want)
		}
	}
}

// Every mark of every table decides, unless one before it is part of it.
func TestEveryMarkDecides(t *testing.T) {
	for name, c := range map[string]struct {
		table []mark
		rule  string
		class string
	}{
		"proxies":     {proxies, "R08", Proxy},
		"unfurlers":   {unfurlers, "R09", Scanner},
		"scanners":    {scanners, "R10", Scanner},
		"libraries":   {libraries, "R11", Scanner},
		"whole":       {wholeLibraries, "R11", Scanner},
		"mailClients": {mailClients, "R12", Person},
	} {
		for _, m := range c.table {
			if len(m.text) > 32 || m.text != strings.ToLower(m.text) || m.client == "" || m.device == "" {
				t.Errorf("%s: bad mark %+v", name, m)
			}
			got := Classify(open(m.text))
			want := Verdict{c.class, c.rule, got.Certainty, m.device, m.client}
			if got != want {
				t.Errorf("%s: %q\ngot  %+v\nwant %+v", name, m.text, got, want)
			}
		}
	}
}

// later are the rows of the data that wait for a rule which needs a list or other
// hits. This list must shrink, and a row in it must not pass already.
var later = map[string]string{
	"c004": "R06", "c153": "R18", "c158": "R15", "c159": "R16", "c161": "R17", "c162": "R04", "c164": "R19", "c170": "R18",
}

// finer are the client names that are finer than those of the data.
var finer = map[string]string{
	"Mac mail app (Apple Mail)": "Apple Mail", "Android mail app": "Android mail (WebView)",
	"Googlebot": "bot", // the other way round: R13 names none, R14 will
}

// The labelled rows. They are a sample: sound rules are the goal.
func TestSharedCases(t *testing.T) {
	shared := os.Getenv("TELLTALE_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	f, err := os.Open(filepath.Join(shared, "data", "ua_cases.csv"))
	if err != nil {
		t.Skip("ua_cases.csv not found: set TELLTALE_SHARED")
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	class := map[string]string{"person": Person, "image-proxy": Proxy, "prefetch": Prefetch, "scanner": Scanner}
	seen := 0
	for _, row := range rows[1:] {
		get := func(name string) string { return row[column[name]] }
		r := Request{Click: get("kind") == "click", Method: get("method"), UserAgent: get("user_agent")}
		for field := range strings.SplitSeq(get("headers"), "; ") {
			if value, ok := strings.CutPrefix(field, "Sec-Purpose: "); ok {
				r.SecPurpose = value
			}
		}
		got := Classify(r)
		client := got.Client
		if coarse, ok := finer[client]; ok {
			client = coarse
		}
		if got.Rule == "R12b" {
			client = Unknown // the data does not name the probe when it is known by the click
		}
		wantClient := get("expected_client")
		if coarse, ok := finer[wantClient]; ok {
			wantClient = coarse
		}
		ok := got.Class == class[get("expected_agent")] && got.Device == get("expected_device") && client == wantClient
		rule, waits := later[get("id")]
		if waits {
			seen++
		}
		if ok && waits {
			t.Errorf("%s passes: take it off the list of rows that wait for %s", get("id"), rule)
		}
		if !ok && !waits {
			t.Errorf("%s %s %s %q\ngot  %+v\nwant %s, %s, %s", get("id"), get("kind"), get("method"), get("user_agent"),
				got, get("expected_agent"), get("expected_device"), wantClient)
		}
	}
	if len(rows)-1 < 118 || seen != len(later) {
		t.Errorf("%d rows, %d of %d that wait; want at least 118 and all", len(rows)-1, seen, len(later))
	}
}

// Only the name of a browser allocates (mileusna/useragent does).
func TestNoAllocation(t *testing.T) {
	for _, r := range []Request{
		open(gmail), open("Mozilla/5.0"), open(macMail), open(office), click(office), open(webView), click("curl/8.0"), click("node"),
		click("Some Spider"), open("Mail/53 CFNetwork/711.2.23"), open("SomethingElse"), open(strings.Repeat("x", 5000)),
		{Method: "GET", UserAgent: gmail, SecPurpose: "prefetch"}, click(chrome + " GSA/1"),
	} {
		if n := testing.AllocsPerRun(100, func() { Classify(r) }); n != 0 {
			t.Errorf("%+.60v: %v allocations, want 0", r, n)
		}
	}
}

// No user agent makes it panic or leaves a field empty, and what is cut off does
// not matter.
func FuzzClassify(f *testing.F) {
	for _, ua := range []string{"", iPhone, chrome, edge12, webView, gmail, office, "Mozilla/5.0 (X11", "mail/ cfnetwork/", "\xff;;(/"} {
		f.Add(ua, true)
		f.Add(ua, false)
	}
	f.Fuzz(func(t *testing.T, ua string, isClick bool) {
		v := Classify(Request{Method: "GET", UserAgent: ua, Click: isClick})
		if v.Class == "" || v.Rule == "" || v.Certainty == "" || v.Device == "" || v.Client == "" {
			t.Errorf("%q: %+v", ua, v)
		}
		if len(ua) > MaxUserAgent {
			if cut := Classify(Request{Method: "GET", UserAgent: ua[:MaxUserAgent], Click: isClick}); cut != v {
				t.Errorf("%q: %+v, cut: %+v", ua, v, cut)
			}
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	for name, r := range map[string]Request{
		"proxy": open(gmail), "MPP": open("Mozilla/5.0"), "mail client": open(office), "Mac": open(macMail), "browser": click(chrome),
		"unclear, 512 octets": open(strings.Repeat("Mozilla/5.0 ", 50)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Classify(r)
			}
		})
	}
}
