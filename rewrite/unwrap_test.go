package rewrite

// Conversations: what a reply quotes of an earlier message is as if it had never
// been tracked, whatever programs on the way have made of it.

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	tt "telltale/tracker/token"
)

// rings returns ours, and that of another telltale.
func rings(t testing.TB) (ours, theirs *tt.Ring) {
	t.Helper()
	var two [2]*tt.Ring
	for i := range two {
		key, err := tt.NewKey(nil, time.Unix(1_700_000_000, 0), bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 64)))
		if err != nil {
			t.Fatal(err)
		}
		if two[i], err = tt.NewRing([]tt.Key{key}); err != nil {
			t.Fatal(err)
		}
	}
	return two[0], two[1]
}

// replying is tracking() with our keys.
func replying(ring *tt.Ring) Policy {
	p := tracking()
	p.ClickToken, p.OpenToken = ring.ClickTarget, ring.OpenOurs
	return p
}

const quotedTarget = `https://shop.example.com/item?a=1&copy=2&q="x"`

// safeLink, proofpoint1, 2, 3 and the others wrap a URL as those gateways do.
func safeLink(u string) string {
	return "https://eur01.safelinks.protection.outlook.com/?url=" + url.QueryEscape(u) + "&data=05%7C02%7Cb%40example.net%7C0&sdata=x%2By%3D&reserved=0"
}

func proofpoint1(u string) string {
	return "https://urldefense.proofpoint.com/v1/url?u=" + url.QueryEscape(u) + "&k=abc%3D&r=def"
}

func proofpoint2(u string) string {
	var b strings.Builder
	for _, c := range []byte(u) {
		switch {
		case c == '/':
			b.WriteByte('_')
		case c == '-' || c == '_' || c == ':' || c == '?' || c == '=' || c == '&' || c == '%':
			fmt.Fprintf(&b, "-%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return "https://urldefense.proofpoint.com/v2/url?u=" + b.String() + "&d=DwMFaQ&c=abc&m=def&s=ghi&e="
}

func proofpoint3(u string) string { return "https://urldefense.com/v3/__" + u + "__;!!AbC!def$" }

// percentAll encodes every octet of the path.
func percentAll(u string) string {
	scheme, rest, _ := strings.Cut(u, "://")
	host, path, _ := strings.Cut(rest, "/")
	var b strings.Builder
	for i := range len(path) {
		fmt.Fprintf(&b, "%%%02x", path[i])
	}
	return scheme + "://" + host + "/" + b.String()
}

func entities(u string) string {
	return strings.NewReplacer(":", "&#58;", "/", "&#x2F;", ".", "&period;").Replace(u)
}

// disguises are what became of a URL on its way through people's programs.
var disguises = []struct {
	name string
	of   func(string) string
}{
	{"as it was", func(u string) string { return u }},
	{"upper case", strings.ToUpper},
	{"host in upper case", func(u string) string { return strings.Replace(u, "t.example.com", "T.Example.COM", 1) }},
	{"another name of ours", func(u string) string { return strings.Replace(u, "t.example.com", "old.example.org/mail", 1) }},
	{"a parameter behind it", func(u string) string { return u + "?utm_source=x" }},
	{"Safe Links", safeLink},
	{"Safe Links of Safe Links", func(u string) string { return safeLink(safeLink(u)) }},
	{"URL Defense v1", proofpoint1},
	{"URL Defense v2", proofpoint2},
	{"URL Defense v3", proofpoint3},
	{"URL Defense v3, one slash", func(u string) string { return proofpoint3(strings.Replace(u, "://", ":/", 1)) }},
	{"Safe Links of URL Defense v3", func(u string) string { return safeLink(proofpoint3(u)) }},
	{"Barracuda", func(u string) string {
		return "https://linkprotect.cudasvc.com/url?a=" + url.QueryEscape(u) + "&c=E,1,x&typo=1"
	}},
	{"Gmail's page", func(u string) string {
		return "https://www.google.com/url?q=" + url.QueryEscape(u) + "&source=gmail&ust=1&usg=x"
	}},
	{"percent-encoded", percentAll},
	{"a slash percent-encoded", func(u string) string { return strings.Replace(u, "/c/", "%2Fc%2F", 1) }},
}

// replied returns the body of a message after planning, decoded if need be.
func replied(t testing.TB, header, body string, p Policy) (string, Report) {
	t.Helper()
	m := []byte("In-Reply-To: <1@example.com>\r\n" + header + "\r\n\r\n" + body)
	e, r := plan(t, m, p)
	inOrder(t, e, len(m))
	_, after, _ := strings.Cut(string(apply(t, m, e, 4096)), "\r\n\r\n")
	return after, r
}

// Our links become their targets in href and in the words, whatever was made of
// them; the reply's own links are tracked.
func TestOwnLinksAreUnwrapped(t *testing.T) {
	ours, _ := rings(t)
	link := testURL + "/c/" + ours.Click(tt.Message{1}, 1, 3, quotedTarget)
	p := replying(ours)
	p.Opens = false
	escaped := `https://shop.example.com/item?a=1&amp;copy=2&amp;q=&#34;x&#34;`
	for _, d := range disguises {
		u := strings.ReplaceAll(d.of(link), "&", "&amp;")
		for _, quote := range []string{`"`, `'`, ``} {
			body := "<p><a href=" + quote + u + quote + ">go</a> or <a href=" + quote + "https://new.example.com/" + quote + ">new</a>"
			want := "<p><a href=" + quote + escaped + quote + ">go</a> or <a href=" + quote + testURL + "/c/2-24" + quote + ">new</a>"
			got, r := replied(t, "Content-Type: text/html", body, p)
			if got != want || r.Unwrapped != 1 || r.Links[0].URL != quotedTarget || r.Links[0].Rule != RuleOwn || r.Links[0].Tracked || !r.Links[1].Tracked {
				t.Errorf("%s: %s\n got %s\nwant %s\nreport %+v", d.name, body, got, want, r)
			}
		}
		body := "<blockquote type=cite>see &lt;" + u + "&gt;, " + u + ".&nbsp;</blockquote>"
		want := "<blockquote type=cite>see &lt;" + escaped + "&gt;, " + escaped + ".&nbsp;</blockquote>"
		if got, r := replied(t, "Content-Type: text/html", body, p); got != want || r.Unwrapped != 2 {
			t.Errorf("%s: %s\n got %s\nwant %s\n%d unwrapped", d.name, body, got, want, r.Unwrapped)
		}
		body = "New: https://new.example.com/ " + d.of(link) + "\r\n\r\n> see <" + d.of(link) + ">, ok\r\n>> " + d.of(link) + "\r\n-- \r\n" + d.of(link) + "\r\n"
		want = "New: https://new.example.com/ T\r\n\r\n> see <T>, ok\r\n>> T\r\n-- \r\nT\r\n"
		want = strings.ReplaceAll(want, "T", quotedTarget)
		if got, r := replied(t, "Content-Type: text/plain", body, p); got != want || r.Unwrapped != 4 {
			t.Errorf("%s: %s\n got %s\nwant %s\n%d unwrapped", d.name, body, got, want, r.Unwrapped)
		}
		p := p
		p.Text = true
		want = strings.Replace(want, "https://new.example.com/", testURL+"/c/1-24", 1)
		if got, r := replied(t, "Content-Type: text/plain", body, p); got != want || len(r.Links) != 1 {
			t.Errorf("%s: %s\n got %s\nwant %s\n%+v", d.name, body, got, want, r.Links)
		}
	}
	for _, d := range disguises[:2] {
		got, _ := replied(t, "Content-Type: text/html", `<a href="`+entities(d.of(link))+`">x</a>`, p)
		if want := `<a href="` + escaped + `">x</a>`; got != want {
			t.Errorf("entities: got %s, want %s", got, want)
		}
	}
}

// What is not ours to open stays as it is, and is not tracked either.
func TestForeignTokensStay(t *testing.T) {
	ours, theirs := rings(t)
	theirLink := "https://t.example.org/c/" + theirs.Click(tt.Message{1}, 1, 3, quotedTarget)
	damaged := testURL + "/c/" + ours.Click(tt.Message{1}, 1, 3, quotedTarget)
	damaged = damaged[:len(damaged)-2] + "aa"
	for _, u := range []string{theirLink, safeLink(theirLink), proofpoint2(theirLink), strings.ToUpper(theirLink), damaged} {
		body := `<p><a href="` + strings.ReplaceAll(u, "&", "&amp;") + `">go</a><img src="https://t.example.org/o/` + theirs.Open(tt.Message{1}, 1) + `.gif">`
		p := replying(ours)
		p.Opens = false
		if got, r := replied(t, "Content-Type: text/html", body, p); got != body || r.Links[0].Rule != RuleForeign || r.OldPixels != 0 {
			t.Errorf("%s\n got %s\nreport %+v", body, got, r)
		}
		if body = "> " + u + "\r\n" + u + "\r\n"; true {
			p.Text = true
			if got, r := replied(t, "Content-Type: text/plain", body, p); got != body || r.Unwrapped != 0 {
				t.Errorf("%s\n got %s\nreport %+v", body, got, r)
			}
		}
	}
	// What only resembles a token is a link like any other.
	for _, u := range []string{"https://ex.com/c/" + strings.Repeat("a", 80), "https://ex.com/o/" + ours.Open(tt.Message{1}, 1)} {
		if _, r := replied(t, "Content-Type: text/html", `<a href="`+u+`">go</a>`, replying(ours)); !r.Links[0].Tracked {
			t.Errorf("%s: %+v, want it tracked", u, r.Links[0])
		}
	}
}

// The old pixel goes, and no other image.
func TestOwnPixelsAreTakenOut(t *testing.T) {
	ours, _ := rings(t)
	pixel := testURL + "/o/" + ours.Open(tt.Message{1}, 1) + ".gif"
	p := replying(ours)
	p.Opens = false
	for _, img := range []string{
		`<img src="` + pixel + `" width="1" height="1" border="0" alt="">`,
		`<IMG BORDER=0 WIDTH=1 id="_x0000_i1025" SRC=` + strings.ToUpper(pixel) + `>`,
		`<img alt='a > b' src='` + entities(pixel) + `'/>`,
		`<img data-track="off" src="` + pixel + `">`,
		`<img src="https://ci3.googleusercontent.com/meips/ADKq_x=s0-d-e1-ft#` + pixel + `" class="CToWUd">`,
		`<img src="https://proxy.example.com/?u=` + url.QueryEscape(pixel) + `">`,
		`<img src="` + strings.ReplaceAll(safeLink(pixel), "&", "&amp;") + `">`,
	} {
		body := `<p>hi</p>` + img + `<blockquote>` + img + `<img src="https://ex.com/logo.png"></blockquote><!--[if mso]>` + img + `<![endif]-->`
		want := `<p>hi</p><blockquote><img src="https://ex.com/logo.png"></blockquote><!--[if mso]><![endif]-->`
		if got, r := replied(t, "Content-Type: text/html", body, p); got != want || r.OldPixels != 3 {
			t.Errorf("%s\n got %s\nwant %s\n%d pixels", body, got, want, r.OldPixels)
		}
		// With a new pixel, exactly one is left.
		q := replying(ours)
		if got, r := replied(t, "Content-Type: text/html", img+"</body>"+img, q); got != `<img src="`+testURL+`/o/pixel.gif" width="1" height="1" border="0" alt=""></body>` || !r.Opens {
			t.Errorf("%s: %s", img, got)
		}
	}
	for _, body := range []string{`<!-- <img src="` + pixel + `"> -->`, `<textarea><img src="` + pixel + `"></textarea>`, `<a title="<img src=` + pixel + `>">x</a>`, `<img alt="` + pixel + `" src="x">`} {
		if got, _ := replied(t, "Content-Type: text/html", body, p); got != body {
			t.Errorf("%s\n got %s, want it as it is", body, got)
		}
	}
}

// The transfer encoding of the quote does not matter.
func TestUnwrappingInEveryEncoding(t *testing.T) {
	ours, _ := rings(t)
	link := testURL + "/c/" + ours.Click(tt.Message{1}, 1, 3, quotedTarget)
	p := replying(ours)
	p.Opens = false
	page := `<p>caf=C3=A9 <a href=3D"` + link[:40] + "=\r\n" + link[40:] + `">x</a></p>`
	got, _ := replied(t, "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable", page, p)
	want := `<p>caf=C3=A9 <a href=3D"https://shop.example.com/item?a=3D1&amp;copy=3D2&am=` + "\r\n" + `p;q=3D&#34;x&#34;">x</a></p>`
	if got != want {
		t.Errorf("quoted-printable\n got %s\nwant %s", got, want)
	}
	for _, c := range []string{"text/html", "text/plain"} {
		body := "see <a href=" + link + ">" + link + "</a>\r\n"
		plain, _ := replied(t, "Content-Type: "+c, body, p)
		got, _ := replied(t, "Content-Type: "+c+"\r\nContent-Transfer-Encoding: base64", string(wrapped([]byte(body), 76, "\r\n", "\r\n")), p)
		back, ok := base64Codec{}.decode([]byte(got))
		if !ok || string(back) != plain || strings.Contains(plain, "/c/") {
			t.Errorf("%s in base64: %q\nwant %q", c, back, plain)
		}
	}
}

// A mail program that wraps text wraps tracking URLs too.
func TestUnwrappingOverLines(t *testing.T) {
	ours, _ := rings(t)
	link := testURL + "/c/" + ours.Click(tt.Message{1}, 1, 3, "https://shop.example.com/a")
	wrap := func(u string, width int, glue string) string {
		var parts []string
		for ; len(u) > width; u = u[width:] {
			parts = append(parts, u[:width])
		}
		return strings.Join(append(parts, u), glue)
	}
	p := replying(ours)
	for _, glue := range []string{"\r\n", " \r\n", "\r\n> ", " \r\n> ", "\n>> ", "\r\n>"} {
		for _, width := range []int{30, 40, 72} {
			for _, form := range []string{"> see %s ok\r\n", "see <%s>\r\n", "%s\r\n\r\nnext words\r\n", "a %s\r\n"} {
				body := fmt.Sprintf(form, wrap(link, width, glue))
				want := fmt.Sprintf(form, "https://shop.example.com/a")
				if got, r := replied(t, "Content-Type: text/plain", body, p); got != want || r.Unwrapped != 1 {
					t.Errorf("%q\n got %q\nwant %q", body, got, want)
				}
			}
		}
		body := "see <" + wrap(safeLink(link), 72, glue) + "> ok\r\n"
		if got, _ := replied(t, "Content-Type: text/plain", body, p); got != "see <https://shop.example.com/a> ok\r\n" {
			t.Errorf("%q\n got %q", body, got)
		}
	}
	// Where the end is not certain nothing is eaten.
	for _, body := range []string{
		"see " + wrap(safeLink(link), 72, "\r\n") + "\r\nnext\r\n",
		link[:60] + "\r\nnext words",
		link[:60] + "\r\n\r\n" + link[60:],
		testURL + "/c/" + strings.Repeat(strings.Repeat("a", 70)+"\r\n", 100),
	} {
		if got, r := replied(t, "Content-Type: text/plain", body, p); got != body || r.Unwrapped != 0 {
			t.Errorf("%q\n got %q, want it as it is", body, got)
		}
	}
}

// Unwrapping asks for no tracking; only what must not be touched keeps our links.
func TestUnwrappingWhenTrackingIsOff(t *testing.T) {
	ours, _ := rings(t)
	body := `<a href="` + testURL + "/c/" + ours.Click(tt.Message{1}, 1, 3, "https://ex.com/") + `">x</a>`
	for _, x := range []struct {
		header string
		change func(*Policy)
		want   string
	}{
		{"X-Track: off\r\nContent-Type: text/html", nil, `<a href="https://ex.com/">x</a>`},
		{"Content-Type: text/html", func(p *Policy) { p.Opens, p.Clicks = false, false }, `<a href="https://ex.com/">x</a>`},
		{"Content-Type: text/html\r\nDKIM-Signature: v=1; h=from", nil, body},
		{"Content-Type: text/html\r\nContent-Disposition: attachment", nil, body},
		{"Content-Type: text/html", func(p *Policy) { p.Untouched = "null sender" }, body},
		{"Content-Type: text/html", func(p *Policy) { p.ClickToken = nil; p.Opens = false }, body},
	} {
		p := replying(ours)
		if x.change != nil {
			x.change(&p)
		}
		if got, r := replied(t, x.header, body, p); got != x.want {
			t.Errorf("%s\n got %s\nwant %s\n%+v", x.header, got, x.want, r)
		}
	}
	// Clicks off for new links is no reason not to: and their text part is no reason to tell.
	_, r := replied(t, "Content-Type: text/plain\r\nContent-Transfer-Encoding: x-none", "https://ex.com/", replying(ours))
	if r.Reason != reasonNoHTML {
		t.Errorf("reason %q, want %q", r.Reason, reasonNoHTML)
	}
}

// Unwrapping never makes things worse: every octet outside a token of ours stays.
func FuzzUnwrap(f *testing.F) {
	ours, _ := rings(f)
	link := testURL + "/c/" + ours.Click(tt.Message{1}, 1, 3, "https://ex.com/a?b=1&c=2")
	for _, d := range disguises {
		f.Add(d.of(link), true)
		f.Add("<p>"+d.of(link)+" <a href='"+d.of(link)+"'>"+d.of(link)+"</a><img src="+testURL+"/o/"+ours.Open(tt.Message{1}, 1)+".gif>", false)
	}
	f.Add("> <"+link[:50]+"\r\n> "+link[50:]+">", true)
	f.Fuzz(func(t *testing.T, body string, plain bool) {
		p := replying(ours)
		kind := "text/html"
		if plain {
			kind = "text/plain"
		}
		m := []byte("Content-Type: " + kind + "\r\n\r\n" + body)
		e, r := plan(t, m, p)
		inOrder(t, e, len(m))
		edited := apply(t, m, e, 4096)
		if back := undo(edited, m, e); !bytes.Equal(back, m) {
			t.Fatalf("%q: taking the edits back gives %q", m, back)
		}
		if r.Unwrapped < 0 || r.Unwrapped+r.OldPixels > 0 && !hasToken(body) && !strings.ContainsAny(body, "%-\n&") {
			t.Errorf("%q: %d unwrapped, %d pixels, but there is no token", body, r.Unwrapped, r.OldPixels)
		}
	})
}
