package main

// How the configuration is read: the example, the order of file, environment and
// flags, and what values may look like. What is refused stands in testdata/bad.

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"telltale/tracker/token"
)

// write makes a file of mode 0600.
func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load reads a configuration from a text.
func load(t testing.TB, text string, env, sets []string) (*Config, error) {
	t.Helper()
	return Load(write(t, filepath.Join(t.TempDir(), "config.yaml"), text), env, sets)
}

const example = "../../config.example.yaml"

// The example is the defaults, with values for the two keys that have none.
func TestExampleIsTheDefaults(t *testing.T) {
	got, err := Load(example, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Upstream.Address, want.Tracker.URL = "smtp.example.com:587", "https://t.example.com"
	want.relativeTo(filepath.Dir(example))
	got.source = nil
	// An empty list and none are the same.
	for _, p := range []*[]string{&got.Relay.TrustedNetworks, &got.Upstream.TokenCommand, &got.Track.ExcludeDomains, &got.Track.Dialects, &got.Tracker.TrustedProxies, &got.TLS.ACME.Hosts} {
		if len(*p) == 0 {
			*p = nil
		}
	}
	if len(got.Routes) == 0 && len(got.Track.DKIM) == 0 {
		got.Routes, got.Track.DKIM = nil, nil
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("the example is\n%+v, want\n%+v", *got, want)
	}
}

// Every key is in the example, with a word about it.
func TestExampleHasAllKeys(t *testing.T) {
	cfg, err := Load(example, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range allPaths(reflect.TypeFor[Config](), "") {
		if cfg.source.where[key] == "" {
			t.Errorf("%s is not in config.example.yaml", key)
		}
	}
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	under := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(strings.TrimSpace(line), "-"):
		case !strings.HasPrefix(line, " "):
			under = line
			fallthrough
		default:
			// What belongs to a key that is not there yet is told by that key.
			if !strings.Contains(line, " # ") && !strings.Contains(under, "not yet") && !strings.HasSuffix(line, ":") && !strings.Contains(line, "tls: none") {
				t.Errorf("config.example.yaml has no word about %q", line)
			}
		}
	}
}

// An empty file is the defaults too.
func TestEmptyFile(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "relay:\n", "---\n"} {
		cfg, err := load(t, text, nil, nil)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if cfg.Relay.Auth != "none" || cfg.Upstream.MaxConnections != 8 || !cfg.Track.Opens {
			t.Errorf("%q: got %+v, want the defaults", text, cfg)
		}
	}
}

// The file, then the environment, then flags.
func TestPrecedence(t *testing.T) {
	const file = "upstream: {address: 'file.example:25', max_connections: 2}\ntrack: {opens: false}\n"
	for _, c := range []struct {
		env, sets []string
		address   string
		most      int
		opens     bool
		place     string
	}{
		{nil, nil, "file.example:25", 2, false, "config.yaml:1"},
		{[]string{"TELLTALE_UPSTREAM_ADDRESS=env.example:25"}, nil, "env.example:25", 2, false, "TELLTALE_UPSTREAM_ADDRESS"},
		{[]string{"TELLTALE_UPSTREAM_ADDRESS=env.example:25"}, []string{"upstream.address=set.example:25"}, "set.example:25", 2, false, "--set upstream.address"},
		{[]string{"TELLTALE_UPSTREAM_MAX_CONNECTIONS=3", "TELLTALE_TRACK_OPENS=true"}, nil, "file.example:25", 3, true, "config.yaml:1"},
		{nil, []string{"upstream.max_connections=4", "upstream.max_connections=5", "track.opens=true"}, "file.example:25", 5, true, "config.yaml:1"},
		{[]string{"PATH=/", "TELLTALE_SHARED=x", "TELLTALE_NO_SKIP=1", "TELLTALE_TEST_X=1", "TELLTALE_CONFIG=y"}, nil, "file.example:25", 2, false, "config.yaml:1"},
	} {
		cfg, err := load(t, file, c.env, c.sets)
		if err != nil {
			t.Errorf("%v %v: %v", c.env, c.sets, err)
			continue
		}
		if cfg.Upstream.Address != c.address || cfg.Upstream.MaxConnections != c.most || cfg.Track.Opens != c.opens {
			t.Errorf("%v %v: got %q, %d, %v; want %q, %d, %v", c.env, c.sets,
				cfg.Upstream.Address, cfg.Upstream.MaxConnections, cfg.Track.Opens, c.address, c.most, c.opens)
		}
		if got := cfg.source.at("upstream.address"); filepath.Base(got) != c.place {
			t.Errorf("%v %v: upstream.address is said at %q, want %q", c.env, c.sets, got, c.place)
		}
	}
}

// Every key that is one value can be set from the environment and by a flag.
func TestEveryKeyHasAVariable(t *testing.T) {
	for _, key := range allPaths(reflect.TypeFor[Config](), "") {
		v, ok := (&decoder{}).find(reflect.ValueOf(&Config{}).Elem(), key)
		if !ok {
			t.Errorf("%s is not found", key)
			continue
		}
		value := map[string]string{"string": "x", "bool": "true", "int": "7", "Size": "1MiB", "Duration": "3d", "[]string": "[a, b]"}[v.Type().Name()]
		if v.Type() == reflect.TypeFor[[]string]() {
			value = "[a, b]"
		}
		if value == "" {
			continue // a struct, or a list of them
		}
		variable := "TELLTALE_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
		byEnv, err := load(t, "", []string{variable + "=" + value}, nil)
		if err != nil {
			t.Errorf("%s=%s: %v", variable, value, err)
			continue
		}
		bySet, err := load(t, "", nil, []string{key + "=" + value})
		if err != nil {
			t.Errorf("--set %s=%s: %v", key, value, err)
			continue
		}
		a, _ := (&decoder{}).find(reflect.ValueOf(byEnv).Elem(), key)
		b, _ := (&decoder{}).find(reflect.ValueOf(bySet).Elem(), key)
		d, _ := (&decoder{}).find(reflect.ValueOf(new(Default())).Elem(), key)
		if reflect.DeepEqual(a.Interface(), d.Interface()) && value != "true" {
			t.Errorf("%s=%s: still %v", variable, value, a)
		}
		if a.Kind() != reflect.String && !reflect.DeepEqual(a.Interface(), b.Interface()) {
			t.Errorf("%s: %v by variable, %v by flag", key, a, b)
		}
	}
}

func TestWrongVariablesAndFlags(t *testing.T) {
	for _, c := range []struct {
		env, sets []string
		want      string
	}{
		{[]string{"TELLTALE_UPSTREAM_ADRESS=x"}, nil, `TELLTALE_UPSTREAM_ADRESS: names no key; did you mean "upstream.address"?`},
		{[]string{"TELLTALE_TRACK_OPENS=maybe"}, nil, `TELLTALE_TRACK_OPENS: track.opens: expected true or false, got "maybe"`},
		{[]string{"TELLTALE_RELAY_MAX_MESSAGE_SIZE=big"}, nil, `TELLTALE_RELAY_MAX_MESSAGE_SIZE: relay.max_message_size: expected a size such as 50MiB, got "big"`},
		{nil, []string{"track.opens=2"}, `--set track.opens: track.opens: expected true or false, got "2"`},
		{nil, []string{"track.open=true"}, `--set track.open: names no key; did you mean "track.opens"?`},
		{nil, []string{"relay=x"}, `--set relay: relay: expected keys below it, such as hostname, listeners, auth, users_file, trusted_networks, max_message_size, max_recipients`},
		{nil, []string{"relay.listeners=x"}, `--set relay.listeners: relay.listeners: expected a list, such as [a, b]`},
		{nil, []string{"upstream.max_connections="}, `--set upstream.max_connections: "" is no value for it`},
		{nil, []string{"upstream.max_connections=[1"}, `--set upstream.max_connections: "[1" is no value for it`},
		{nil, []string{"upstream"}, `--set upstream: expected path=value, such as --set upstream.address=mail.example.com:587`},
	} {
		_, err := load(t, "", c.env, c.sets)
		if err == nil || err.Error() != c.want {
			t.Errorf("%v %v: got\n%v, want\n%s", c.env, c.sets, err, c.want)
		}
	}
}

// File names are relative to the configuration, not to where it is read.
func TestFileNamesAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "config.yaml"), "keys_file: a.keys\nupstream: {password_file: /etc/p}\nstore: {dsn: 'bolt:sub/x.db'}\nadmin: {socket: s.sock}\n")
	cfg, err := Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{cfg.KeysFile, cfg.Upstream.PasswordFile, cfg.Store.DSN, cfg.Admin.Socket}
	want := []string{filepath.Join(dir, "a.keys"), "/etc/p", "bolt:" + filepath.Join(dir, "sub/x.db"), filepath.Join(dir, "s.sock")}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSizesAndTimes(t *testing.T) {
	for _, c := range []struct {
		text string
		size Size
		ok   bool
	}{
		{"0", 0, true}, {"65536", 65536, true}, {"64KiB", 64 << 10, true}, {"50 MiB", 50 << 20, true}, {"1GiB", 1 << 30, true},
		{"50MB", 0, false}, {"50mib", 0, false}, {"-1", 0, false}, {"1.5MiB", 0, false}, {"", 0, false}, {"MiB", 0, false},
		{"99999999999999GiB", 0, false}, {"0x10", 0, false}, {"1e3", 0, false},
	} {
		if got, err := parseSize(c.text); got != c.size || (err == nil) != c.ok {
			t.Errorf("size %q: got %d, %v; want %d, %v", c.text, got, err, c.size, c.ok)
		}
	}
	for _, c := range []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"400d", 400 * 24 * time.Hour, true}, {"0d", 0, true}, {"12h", 12 * time.Hour, true}, {"1h30m", 90 * time.Minute, true}, {"0", 0, true},
		{"-1d", 0, false}, {"-1h", -time.Hour, false}, {"12", 0, false}, {"1.5d", 0, false}, {"d", 0, false}, {"", 0, false},
		{"99999d", 0, false}, {"1y", 0, false},
	} {
		if got, err := parseDuration(c.text); (err == nil) != c.ok || c.ok && time.Duration(got) != c.want {
			t.Errorf("time %q: got %v, %v; want %v, %v", c.text, time.Duration(got), err, c.want, c.ok)
		}
	}
}

func TestSuggest(t *testing.T) {
	list := []string{"address", "tls", "username"}
	for word, want := range map[string]string{
		"adress":  `; did you mean "address"?`,
		"tsl":     `; did you mean "tls"?`,
		"user":    `; there are address, tls, username`,
		"":        `; there are address, tls, username`,
		"USERNAM": `; there are address, tls, username`,
	} {
		if got := suggest(word, list); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

// Whatever stands in the file, reading ends without a panic, and an error says
// where.
func FuzzConfig(f *testing.F) {
	text, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("relay:\n---\n")
	for _, s := range []string{"a: b", "relay: [", "relay:\n\tauth: x", "&a [*a]", "<<: {relay: 1}", "? : x", "relay: {auth: !!str x}", "\xff", "- a\n- b", "a: |\n  x", "---\n---\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := load(t, text, nil, nil)
		if err == nil {
			err = cfg.Check()
		}
		if err == nil {
			return
		}
		for line := range strings.Lines(err.Error()) {
			if !strings.Contains(line, "config.yaml") && !strings.Contains(text, "\n") && !strings.HasPrefix(line, " ") {
				t.Errorf("%q: %q does not say where", text, line)
			}
		}
	})
}

// RW-17: whatever is accepted as tracker.url gives URLs that need no escaping
// anywhere, and what would not is refused.
func TestRW17_TrackingURLsNeedNoEscaping(t *testing.T) {
	plain := regexp.MustCompile(`^https?://[a-z0-9:/._-]*[a-z0-9._-]$`)
	key, err := token.NewKey(nil, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := token.NewRing([]token.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	for url, good := range map[string]bool{
		"https://t.example.com": true, "http://127.0.0.1:8080": true, "https://example.com/mail_1/x-y": true, "http://[::1]:80": false,
		"https://T.example.com": false, "https://t.example.com/": false, "https://t.example.com?x": false, "https://t.example.com/a b": false,
		"https://user@example.com": false, "https://m\u00fcller.example": false, "https://t.example.com/&copy": false, "ftp://t.example.com": false, "https://": false,
	} {
		cfg := loadConfig(t, "127.0.0.1:1")
		cfg.Tracker.URL = url
		err := cfg.Check()
		if good != (err == nil || !strings.Contains(err.Error(), "tracker.url")) {
			t.Errorf("%q: got %v, want it accepted: %v", url, err, good)
		}
		if !good {
			continue
		}
		for i := range 50 {
			m, _ := token.NewMessage(time.Now(), rand.Reader)
			for _, u := range []string{url + "/o/" + ring.Open(m, i) + ".gif", url + "/c/" + ring.Click(m, i, i+1, "https://example.com/?a=1&b="+strings.Repeat("\u00fc", i))} {
				if !plain.MatchString(u) {
					t.Errorf("%q needs escaping", u)
				}
			}
		}
	}
}
