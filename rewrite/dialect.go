package rewrite

// This file is what mail says that was made for another service: its header
// fields and its attributes, read and taken out as ours are, when the
// configuration names the service. docs/dialects.md has it as a table.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// dialect is one service's way to say what is tracked.
type dialect struct {
	name       string
	fields     []controlField
	attributes []linkAttribute
}

// linkAttribute is an attribute of a link. off reports a value that says no; nil
// means that it says nothing about tracking, and is only taken out.
type linkAttribute struct {
	name string
	off  func(value string) bool
}

// anyValue is for an attribute whose presence says no.
func anyValue(string) bool { return true }

// dialects are the services that are known.
var dialects = []dialect{
	{"mailgun", []controlField{
		{"x-mailgun-track", true, true, sayAll},
		{"x-mailgun-track-opens", true, false, sayOpens},
		{"x-mailgun-track-clicks", false, true, sayMailgunClicks},
		{"x-mailgun-track-pixel-location-top", false, false, sayNothing},
	}, []linkAttribute{{"disable-tracking", func(v string) bool { return !saysOff(v) || !isYesNo(v) }}}},
	{"postmark", []controlField{
		{"x-pm-trackopens", true, false, sayOpens},
		{"x-pm-tracklinks", false, true, sayPostmarkLinks},
	}, []linkAttribute{{"data-pm-no-track", anyValue}}},
	{"sendgrid", []controlField{
		{"x-smtpapi", true, true, saySendGrid},
	}, []linkAttribute{{"clicktracking", saysOff}}},
	{"ses", nil, []linkAttribute{{"ses:no-track", anyValue}, {"ses:tags", nil}}},
	{"mandrill", []controlField{
		{"x-mc-track", true, true, sayMandrill},
		{"x-mc-trackingdomain", false, false, sayNothing},
	}, []linkAttribute{{"mc:disable-tracking", anyValue}}},
	{"sparkpost", []controlField{
		{"x-msys-api", true, true, saySparkPost},
	}, []linkAttribute{{"data-msys-clicktrack", saysOff}, {"data-msys-linkname", nil}, {"data-msys-sublink", nil}}},
	{"emailengine", []controlField{
		{"x-ee-tracking-enabled", true, true, sayAll},
	}, nil},
}

// CheckDialects returns an error that names the first dialect that is not known.
func CheckDialects(names []string) error {
	var known []string
	for _, d := range dialects {
		known = append(known, d.name)
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return fmt.Errorf("dialect %q is not known; there are %s", n, strings.Join(known, ", "))
		}
	}
	return nil
}

// dialects returns those that the policy names.
func (p *Policy) dialects() (named []dialect) {
	for _, d := range dialects {
		if slices.Contains(p.Dialects, d.name) {
			named = append(named, d)
		}
	}
	return named
}

// attributes returns what the dialects of the policy put on links.
func (p *Policy) attributes() (list []linkAttribute) {
	for _, d := range p.dialects() {
		list = append(list, d.attributes...)
	}
	return list
}

func isYesNo(v string) bool { _, ok := yesNo(v); return ok }

func sayNothing(*wishes, string) bool { return true }

func sayMailgunClicks(w *wishes, v string) bool {
	if strings.EqualFold(v, "htmlonly") {
		w.Clicks, w.Text = true, false
		return true
	}
	yes, ok := yesNo(v)
	w.Clicks, w.Text = yes, w.Text && yes
	return ok
}

func sayPostmarkLinks(w *wishes, v string) bool {
	switch strings.ToLower(v) {
	case "none":
		w.Clicks, w.Text = false, false
	case "htmlandtext":
		w.Clicks, w.Text = true, true
	case "htmlonly":
		w.Clicks, w.Text = true, false
	case "textonly":
		w.Clicks, w.Text = false, true
	default:
		return false
	}
	return true
}

// sayMandrill reads a list of what is tracked; the rest is not.
func sayMandrill(w *wishes, v string) bool {
	w.Opens, w.Clicks, w.Text = false, false, false
	for item := range strings.SplitSeq(v, ",") {
		switch strings.ToLower(strings.TrimSpace(item)) {
		case "opens":
			w.Opens = true
		case "clicks", "clicks_htmlonly":
			w.Clicks = true
		case "clicks_all":
			w.Clicks, w.Text = true, true
		case "clicks_textonly":
			w.Text = true
		default:
			return false
		}
	}
	return true
}

// flag is a JSON value that people write as 1, "1" or true.
type flag struct{ said, yes bool }

// UnmarshalJSON implements json.Unmarshaler. A value that makes no sense is an
// error, null says nothing.
func (f *flag) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	yes, ok := yesNo(string(bytes.Trim(b, `"`)))
	if !ok {
		return fmt.Errorf("%s is neither yes nor no", b)
	}
	*f = flag{true, yes}
	return nil
}

// set does as the flag says, if it says something.
func (f flag) set(what *bool) {
	if f.said {
		*what = f.yes
	}
}

func saySendGrid(w *wishes, v string) bool {
	var x struct {
		Filters struct {
			ClickTrack struct {
				Settings struct {
					Enable     flag `json:"enable"`
					EnableText flag `json:"enable_text"`
				} `json:"settings"`
			} `json:"clicktrack"`
			OpenTrack struct {
				Settings struct {
					Enable flag `json:"enable"`
				} `json:"settings"`
			} `json:"opentrack"`
		} `json:"filters"`
	}
	if json.Unmarshal([]byte(v), &x) != nil {
		return false
	}
	clicks := x.Filters.ClickTrack.Settings
	clicks.Enable.set(&w.Clicks)
	clicks.EnableText.set(&w.Text)
	w.Text = w.Text && w.Clicks
	x.Filters.OpenTrack.Settings.Enable.set(&w.Opens)
	return true
}

func saySparkPost(w *wishes, v string) bool {
	var x struct {
		Options struct {
			Opens  flag `json:"open_tracking"`
			Clicks flag `json:"click_tracking"`
		} `json:"options"`
	}
	if json.Unmarshal([]byte(v), &x) != nil {
		return false
	}
	x.Options.Opens.set(&w.Opens)
	x.Options.Clicks.set(&w.Clicks)
	w.Text = w.Text && w.Clicks
	return true
}

// textMark is what SparkPost's senders put behind a URL in plain text:
// [[data-msys-clicktrack="0"]].
var textMark = []byte(`[[data-msys-`)

// textMarkAt returns where such a mark in or behind a URL starts and ends, start
// is -1 if there is none, and whether it says no to tracking.
func textMarkAt(src []byte, l textLink) (start, end int, off bool) {
	start = bytes.Index(src[l.start:min(len(src), l.end+len(textMark))], textMark)
	if start < 0 {
		return -1, -1, false
	}
	start += l.start
	size := bytes.Index(src[start:min(len(src), start+100)], []byte("]]"))
	if size < 0 {
		return -1, -1, false
	}
	name, value, _ := strings.Cut(string(src[start+len("[["):start+size]), "=")
	return start, start + size + len("]]"), name == "data-msys-clicktrack" && saysOff(strings.Trim(value, `"'`))
}
