package rewrite

// Mail made for other services: each field with each value, against a
// configuration that is on and one that is off; each attribute; and without the
// dialect's name nothing at all.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What may be done to dialectMail.
var (
	htmlText = done{true, []int{1, 2}}
	onlyText = done{true, []int{1}}
	onlyHTML = done{true, []int{2}}
)

var dialectCases = []struct {
	dialect, fields string
	on, off         done // with opens and clicks on; with both off. Link 1 is in text, link 2 in HTML
	reason          string
}{
	{"mailgun", "X-Mailgun-Track: yes", onlyHTML, done{true, []int{2}}, ""},
	{"mailgun", "X-Mailgun-Track: no", none, none, ""},
	{"mailgun", "X-Mailgun-Track: false", none, none, ""},
	{"mailgun", "X-Mailgun-Track-Clicks: no", opensOnly, none, ""},
	{"mailgun", "X-Mailgun-Track-Clicks: htmlonly", onlyHTML, done{false, []int{2}}, ""},
	{"mailgun", "X-Mailgun-Track-Opens: no", done{false, []int{2}}, none, ""},
	{"mailgun", "X-Mailgun-Track-Opens: yes", onlyHTML, opensOnly, ""},
	{"mailgun", "X-Mailgun-Track: no\r\nX-Mailgun-Track-Opens: yes", opensOnly, opensOnly, ""},
	{"mailgun", "X-Mailgun-Track: perhaps", none, none, "not understood: x-mailgun-track: perhaps"},
	{"mailgun", "X-Mailgun-Track: yes\r\nX-Mailgun-Track: no", none, none, "contradicts itself: x-mailgun-track"},
	{"mailgun", "X-Mailgun-Track-Pixel-Location-Top: yes", onlyHTML, none, ""},
	{"mailgun", "X-Mailgun-Track: no\r\nX-Track: on", onlyHTML, onlyHTML, ""},
	{"mailgun", "X-Track: off\r\nX-Mailgun-Track: yes", none, none, reasonSwitched},
	{"postmark", "X-PM-TrackOpens: true", onlyHTML, opensOnly, ""},
	{"postmark", "X-PM-TrackOpens: false", done{false, []int{2}}, none, ""},
	{"postmark", "X-PM-TrackLinks: None", opensOnly, none, ""},
	{"postmark", "X-PM-TrackLinks: HtmlAndText", htmlText, done{false, []int{1, 2}}, ""},
	{"postmark", "X-PM-TrackLinks: HtmlOnly", onlyHTML, done{false, []int{2}}, ""},
	{"postmark", "X-PM-TrackLinks: TextOnly", onlyText, done{false, []int{1}}, ""},
	{"postmark", "X-PM-TrackLinks: yes", opensOnly, none, "not understood: x-pm-tracklinks"},
	{"sendgrid", `X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":0}},"opentrack":{"settings":{"enable":0}}}}`, none, none, ""},
	{"sendgrid", `X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":1,` + "\r\n" + ` "enable_text":"1"}}}}`, htmlText, done{false, []int{1, 2}}, ""},
	{"sendgrid", `X-SMTPAPI: {"filters":{"opentrack":{"settings":{"enable":true}}}, "to": ["a@example.com"]}`, onlyHTML, opensOnly, ""},
	{"sendgrid", `X-SMTPAPI: {"category": "` + strings.Repeat("x", 2000) + `"}`, onlyHTML, none, ""},
	{"sendgrid", `X-SMTPAPI: {"filters":{"opentrack":{"settings":{"enable":7}}}}`, none, none, "not understood: x-smtpapi"},
	{"sendgrid", `X-SMTPAPI: {"filters":`, none, none, "not understood: x-smtpapi"},
	{"mandrill", "X-MC-Track: opens", opensOnly, opensOnly, ""},
	{"mandrill", "X-MC-Track: clicks", done{false, []int{2}}, done{false, []int{2}}, ""},
	{"mandrill", "X-MC-Track: opens, clicks_all", htmlText, htmlText, ""},
	{"mandrill", "X-MC-Track: opens,clicks_htmlonly", onlyHTML, onlyHTML, ""},
	{"mandrill", "X-MC-Track: opens,clicks_textonly\r\nX-MC-TrackingDomain: t.example.net", onlyText, onlyText, ""},
	{"mandrill", "X-MC-Track: opens,everything", none, none, "not understood: x-mc-track"},
	{"sparkpost", `X-MSYS-API: {"options": {"open_tracking": false, "click_tracking": true}}`, done{false, []int{2}}, done{false, []int{2}}, ""},
	{"sparkpost", `X-MSYS-API: {"options": {"click_tracking": null}}`, onlyHTML, none, ""},
	{"sparkpost", `X-MSYS-API: {"options": 1}`, none, none, "not understood: x-msys-api"},
	{"emailengine", "X-EE-Tracking-Enabled: true", onlyHTML, onlyHTML, ""},
	{"emailengine", "x-ee-tracking-enabled: 0", none, none, ""},
}

// dialectMail has one link in text and one in HTML.
const dialectMail = "From: a@example.com\r\n%sSubject: x\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\n\r\nsee https://ex.com/text\r\n--b\r\nContent-Type: text/html\r\n\r\n<a href=\"https://ex.com/html\">x</a>\r\n--b--\r\n"

func TestDialectFields(t *testing.T) {
	for _, x := range dialectCases {
		for _, on := range []bool{true, false} {
			p, want := tracking(), x.on
			if p.Opens, p.Clicks = on, on; !on {
				want = x.off
			}
			p.Dialects = []string{x.dialect}
			m := []byte(fmt.Sprintf(dialectMail, x.fields+"\r\n"))
			e, r := plan(t, m, p)
			got := done{r.Opens, nil}
			for _, l := range r.Links {
				if l.Tracked && strings.HasSuffix(l.URL, "text") {
					got.links = append(got.links, 1)
				} else if l.Tracked {
					got.links = append(got.links, 2)
				}
			}
			if got.opens != want.opens || !slices.Equal(got.links, want.links) || !strings.Contains(r.Reason, x.reason) || x.reason == "" && r.Reason != "" {
				t.Errorf("%s, configuration %v: %s\n got %+v, %q\nwant %+v, %q", x.dialect, on, x.fields, got, r.Reason, want, x.reason)
			}
			if sent, want := apply(t, m, e.Control(), 100), fmt.Sprintf(dialectMail, ""); string(sent) != want {
				t.Errorf("%s: %s\n got %q\nwant %q", x.dialect, x.fields, sent, want)
			}
			// Unnamed, the fields are not ours to touch.
			if p.Dialects = nil; strings.Contains(strings.ToLower(x.fields), "x-track") {
				continue
			}
			if e, r := plan(t, m, p); len(e.Control()) > 0 || r.Opens != on || r.Reason != "" {
				t.Errorf("%s, not named: %s: %d edits, %+v", x.dialect, x.fields, len(e.Control()), r)
			}
		}
	}
}

func TestDialectAttributes(t *testing.T) {
	for _, x := range []struct {
		dialect, tag, want string // what becomes of the tag; "" is tracked, and stays otherwise
	}{
		{"mailgun", `<a disable-tracking="true" href="https://ex.com/">`, `<a href="https://ex.com/">`},
		{"mailgun", `<a href="https://ex.com/" disable-tracking=yes>`, `<a href="https://ex.com/">`},
		{"mailgun", `<a href="https://ex.com/" disable-tracking="maybe">`, `<a href="https://ex.com/">`},
		{"mailgun", `<a href="https://ex.com/" disable-tracking="false">`, `<a href="URL">`},
		{"postmark", `<a data-pm-no-track href="https://ex.com/">`, `<a href="https://ex.com/">`},
		{"postmark", `<A HREF='https://ex.com/' DATA-PM-NO-TRACK=''>`, `<A HREF='https://ex.com/'>`},
		{"sendgrid", `<a clicktracking=off href="https://ex.com/">`, `<a href="https://ex.com/">`},
		{"sendgrid", `<a href="https://ex.com/" clicktracking="off" class=x>`, `<a href="https://ex.com/" class=x>`},
		{"sendgrid", `<a href="https://ex.com/" clicktracking="on">`, `<a href="URL">`},
		{"ses", `<a ses:no-track href="https://ex.com/">`, `<a href="https://ex.com/">`},
		{"ses", `<a ses:tags="k:v;" href="https://ex.com/">`, `<a href="URL">`},
		{"mandrill", `<a mc:disable-tracking href="https://ex.com/">`, `<a href="https://ex.com/">`},
		{"sparkpost", `<a data-msys-clicktrack="0" href="https://ex.com/">`, `<a href="https://ex.com/">`},
		{"sparkpost", `<a data-msys-clicktrack="1" data-msys-linkname="n" href="https://ex.com/">`, `<a href="URL">`},
		{"emailengine", `<a href="https://ex.com/" data-x>`, `<a href="URL" data-x>`},
		{"ses", `<a clicktracking=off href="https://ex.com/">`, `<a clicktracking=off href="URL">`},
		{"ses", `<v:roundrect ses:no-track href="https://ex.com/">`, `<v:roundrect href="https://ex.com/">`},
		{"ses", `<p ses:no-track>`, `<p ses:no-track>`},
	} {
		p := tracking()
		p.Opens, p.Dialects = false, []string{x.dialect}
		p.ExcludeSelectors = []string{".gmail_quote"}
		head := "Content-Type: text/html\r\n\r\n"
		m := []byte(head + x.tag + "x</a>")
		e, r := plan(t, m, p)
		got := strings.TrimSuffix(strings.TrimPrefix(string(apply(t, m, e, 50)), head), "x</a>")
		if want := strings.Replace(x.want, "URL", testURL+"/c/1-15", 1); got != want {
			t.Errorf("%s: %s\n got %s\nwant %s", x.dialect, x.tag, got, want)
		}
		if off := !strings.Contains(x.want, "URL"); len(r.Links) > 0 && off != (r.Links[0].Rule == RuleDialect) {
			t.Errorf("%s: %s: rule %q", x.dialect, x.tag, r.Links[0].Rule)
		}
	}
}

// SparkPost has a mark for plain text, which goes even if text is not tracked.
func TestDialectTextMark(t *testing.T) {
	const body = `go https://ex.com/a[[data-msys-clicktrack="0"]], https://ex.com/b[[data-msys-clicktrack="1"]] or https://ex.com/c[[x]].`
	for _, x := range []struct {
		text bool
		want string
	}{
		{true, "go https://ex.com/a, " + testURL + "/c/2-16 or " + testURL + "/c/3-21."},
		{false, "go https://ex.com/a, https://ex.com/b or https://ex.com/c[[x]]."},
	} {
		p := tracking()
		p.Text, p.Dialects = x.text, []string{"sparkpost"}
		got, r := replied(t, "Content-Type: text/plain", body, p)
		if got != x.want {
			t.Errorf("text %v\n got %s\nwant %s\n%+v", x.text, got, x.want, r.Links)
		}
	}
	p := tracking()
	p.Text = true
	if got, _ := replied(t, "Content-Type: text/plain", body, p); !strings.Contains(got, `[[data-msys-clicktrack="0"]]`) && !strings.Contains(got, `"0"]]`) {
		t.Errorf("not named, but the mark went: %s", got)
	}
}

func TestCheckDialects(t *testing.T) {
	if err := CheckDialects([]string{"mailgun", "postmark", "sendgrid", "ses", "mandrill", "sparkpost", "emailengine"}); err != nil {
		t.Error(err)
	}
	if err := CheckDialects([]string{"ses", "SES"}); err == nil || !strings.Contains(err.Error(), `"SES" is not known; there are mailgun, `) {
		t.Errorf("got %v", err)
	}
}
