package main

// This file judges a configuration that was read: what would lose mail, open a
// relay, put links that break into mail, or is not there in this version. All
// faults are reported, each with its place and its mend. Nothing listens before.

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"

	"telltale/rewrite"
)

// urlPattern is what a tracking URL may be made of, so that it needs no escaping
// in HTML or in any transfer encoding (RW-17).
var urlPattern = regexp.MustCompile(`^https?://[a-z0-9:/._-]*[a-z0-9._-]$`)

// checker collects faults.
type checker struct {
	cfg    *Config
	faults []error
}

func (c *checker) fault(path, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("%s: %s: %s", c.cfg.source.at(path), path, fmt.Sprintf(format, args...)))
}

// oneOf checks a word.
func (c *checker) oneOf(path, value string, words ...string) bool {
	for _, w := range words {
		if value == w {
			return true
		}
	}
	c.fault(path, "%q is not one of: %s", value, strings.Join(words, ", "))
	return false
}

// notYet refuses what a later version will have: silence would be a promise.
func (c *checker) notYet(path string, asked bool, instead string) {
	if asked {
		c.fault(path, "is not in this version; %s", instead)
	}
}

// Check returns all faults of the configuration, or nil.
func (cfg *Config) Check() error {
	c := &checker{cfg: cfg}
	c.relay()
	c.upstream()
	c.track()
	c.tracker()
	c.files()
	c.oneOf("log.level", cfg.Log.Level, "debug", "info", "warn", "error")
	c.oneOf("log.format", cfg.Log.Format, "text", "json")
	return errors.Join(c.faults...)
}

// relay refuses what would be an open relay; there is no override (SM-40).
func (c *checker) relay() {
	r := &c.cfg.Relay
	if len(r.Listeners) == 0 {
		c.fault("relay.listeners", "is empty; give one, such as {address: \"127.0.0.1:2525\", tls: none}")
	}
	for i, l := range r.Listeners {
		path := fmt.Sprintf("relay.listeners[%d]", i)
		if !c.oneOf(path+".tls", l.TLS, "none", "starttls", "implicit") || !c.hostPort(path+".address", l.Address) {
			continue
		}
		c.notYet(path+".tls", l.TLS != "none", "use tls: none on a loopback address")
		if !isLoopback(l.Address) {
			c.fault(path+".address", "%s is not a loopback address, and without TLS passwords and mail could be read and anybody could relay; use 127.0.0.1", l.Address)
		}
	}
	if c.oneOf("relay.auth", r.Auth, "none", "upstream", "users") {
		c.notYet("relay.auth", r.Auth == "users", "use none or upstream")
	}
	c.notYet("relay.users_file", r.UsersFile != "", "remove the line")
	c.networks("relay.trusted_networks", r.TrustedNetworks, true)
	if r.MaxMessageSize < 64<<10 || r.MaxMessageSize > 1<<30 {
		c.fault("relay.max_message_size", "%d octets; it must lie between 64KiB and 1GiB", r.MaxMessageSize)
	}
	if r.MaxRecipients < 1 || r.MaxRecipients > 10_000 {
		c.fault("relay.max_recipients", "%d; it must lie between 1 and 10000", r.MaxRecipients)
	}
}

// networks checks CIDR lists. A network that is everybody is no network.
func (c *checker) networks(path string, list []string, relay bool) {
	for i, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			c.fault(fmt.Sprintf("%s[%d]", path, i), "%q is no network; write it as 192.0.2.0/24 or 2001:db8::/32", s)
		} else if relay && p.Bits() == 0 {
			c.fault(fmt.Sprintf("%s[%d]", path, i), "%s is everybody: that would be an open relay; name the networks", s)
		}
	}
}

// hostPort checks an address of our own or of another.
func (c *checker) hostPort(path, address string) bool {
	host, port, err := net.SplitHostPort(address)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || host == "" || n < 0 || n > 65535 {
		c.fault(path, "%q is not host:port; write it as mail.example.com:587 or 127.0.0.1:2525", address)
		return false
	}
	return true
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (c *checker) upstream() {
	u := &c.cfg.Upstream
	if u.Address == "" {
		c.fault("upstream.address", "is missing; name the server that your mail goes through, such as smtp.example.com:587")
	} else if c.hostPort("upstream.address", u.Address) {
		for i, l := range c.cfg.Relay.Listeners {
			if l.Address == u.Address {
				c.fault("upstream.address", "is our own relay.listeners[%d]: mail would go round in circles; name the real server", i)
			}
		}
	}
	if c.oneOf("upstream.tls", u.TLS, "none", "starttls", "implicit") && u.TLS == "none" && u.Address != "" && !isLoopback(u.Address) {
		c.fault("upstream.tls", "none is for loopback: mail and passwords would cross the network in the clear; use starttls (port 587) or implicit (port 465)")
	}
	if u.Username != "" && u.PasswordFile == "" {
		c.fault("upstream.username", "has no upstream.password_file; write the password into a file of mode 0600 and name it there")
	}
	if u.Username == "" && u.PasswordFile != "" {
		c.fault("upstream.password_file", "has no upstream.username; add it")
	}
	if c.cfg.Relay.Auth == "upstream" && u.Username != "" {
		c.fault("upstream.username", "does not go with relay.auth: upstream, where clients bring their own; remove one")
	}
	c.notYet("upstream.token_command", len(u.TokenCommand) > 0, "use username and password_file")
	c.notYet("routes", len(c.cfg.Routes) > 0, "remove it")
	if u.MaxConnections < 1 || u.MaxConnections > 1000 {
		c.fault("upstream.max_connections", "%d; it must lie between 1 and 1000", u.MaxConnections)
	}
}

func (c *checker) track() {
	t := &c.cfg.Track
	for i, d := range t.ExcludeDomains {
		if d == "" || strings.ContainsAny(d, "/:*@ \t") {
			c.fault(fmt.Sprintf("track.exclude_domains[%d]", i), "%q is no domain; write it as example.com, its subdomains are meant too", d)
		}
	}
	if err := rewrite.CheckSelectors(t.ExcludeSelectors); err != nil {
		c.fault("track.exclude_selectors", "%v; write CSS, such as .class or #id", err)
	}
	if err := rewrite.CheckDialects(t.Dialects); err != nil {
		c.fault("track.dialects", "%v", err)
	}
	c.notYet("track.recipients_off_file", t.RecipientsOffFile != "", "remove it")
	c.notYet("track.dkim", len(t.DKIM) > 0, "remove it and let the upstream sign")
}

func (c *checker) tracker() {
	t := &c.cfg.Tracker
	switch host, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(t.URL, "https://"), "http://"), "/"); {
	case t.URL == "":
		c.fault("tracker.url", "is missing; name the public address under which recipients reach the tracker, such as https://t.example.com")
	case !urlPattern.MatchString(t.URL) || host == "" || strings.HasPrefix(host, ":"):
		c.fault("tracker.url", "%q breaks links in some mail: write http:// or https://, then only a-z 0-9 : / . _ -, and no / at the end", t.URL)
	}
	if c.hostPort("tracker.listen.address", t.Listen.Address) && c.oneOf("tracker.listen.tls", t.Listen.TLS, "none", "files", "acme") {
		c.notYet("tracker.listen.tls", t.Listen.TLS != "none", "use none, and a web server with TLS in front")
	}
	c.networks("tracker.trusted_proxies", t.TrustedProxies, false)
	if a := c.cfg.Admin.Address; a != "" && c.hostPort("admin.address", a) && !isLoopback(a) {
		c.fault("admin.address", "%s is not a loopback address; use 127.0.0.1, or \"\" for none", a)
	}
	c.notYet("tls", c.cfg.TLS.CertFile != "" || c.cfg.TLS.KeyFile != "" || c.cfg.TLS.ACME.Email != "" || len(c.cfg.TLS.ACME.Hosts) > 0,
		"remove it, and let a web server in front terminate TLS")
}

func (c *checker) files() {
	s := &c.cfg.Store
	if kind, path, _ := strings.Cut(s.DSN, ":"); kind != "bolt" || path == "" {
		if kind == "postgres" || kind == "postgresql" {
			c.notYet("store.dsn", true, "use bolt:FILE")
		} else {
			c.fault("store.dsn", "%q names no store; write it as bolt:telltale.db", s.DSN)
		}
	}
	c.oneOf("store.ip", s.IP, "truncate", "full", "none")
	if s.KeepHits <= 0 {
		c.fault("store.keep_hits", "must be more than nothing; the default is 400d")
	}
	if c.secret("keys_file", c.cfg.KeysFile, "make it with: telltale key new") {
		if _, err := readRing(c.cfg.KeysFile); err != nil {
			c.fault("keys_file", "%v", errors.Unwrap(err))
		}
	}
	if c.cfg.Upstream.PasswordFile != "" {
		c.secret("upstream.password_file", c.cfg.Upstream.PasswordFile, "write the password into it, then: chmod 600")
	}
}

// secret checks a file that nobody but its owner may read (RS-A09).
func (c *checker) secret(path, file, mend string) bool {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.fault(path, "%s is not there; %s", file, mend)
	case err != nil:
		c.fault(path, "%v", err)
	case !info.Mode().IsRegular():
		c.fault(path, "%s is not a regular file", file)
	case info.Mode().Perm()&0o077 != 0:
		c.fault(path, "%s can be read by others (mode %04o); mend it with: chmod 600 %s", file, info.Mode().Perm(), file)
	default:
		f, err := os.Open(file)
		if err != nil {
			c.fault(path, "%v", err)
			return false
		}
		return f.Close() == nil
	}
	return false
}
