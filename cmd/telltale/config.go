package main

// This file is the configuration as a value: every key, what it means, its
// default. How it is read stands in config_load.go, what is refused in
// config_check.go; config.example.yaml shows it to people.

import "time"

// Config is the whole configuration. The yaml tags are the keys.
type Config struct {
	Relay    Relay    `yaml:"relay"`
	Upstream Upstream `yaml:"upstream"`
	// Routes send mail to other upstreams by login or sender. Not in this version.
	Routes   []Route `yaml:"routes"`
	Track    Track   `yaml:"track"`
	Tracker  Tracker `yaml:"tracker"`
	Admin    Admin   `yaml:"admin"`
	Store    Store   `yaml:"store"`
	KeysFile string  `yaml:"keys_file"` // signing keys of the tracking links, made by "telltale key new"
	TLS      TLS     `yaml:"tls"`
	Log      Log     `yaml:"log"`

	source *source // where each key was said, for errors
}

// Relay is the SMTP side that clients see.
type Relay struct {
	Hostname        string     `yaml:"hostname"` // name in the greeting and in EHLO; "" is the machine's
	Listeners       []Listener `yaml:"listeners"`
	Auth            string     `yaml:"auth"`             // none, upstream or users
	UsersFile       string     `yaml:"users_file"`       // name:hash lines. Not in this version
	TrustedNetworks []string   `yaml:"trusted_networks"` // CIDR; may send without AUTH; never /0
	MaxMessageSize  Size       `yaml:"max_message_size"`
	MaxRecipients   int        `yaml:"max_recipients"`
}

// Listener is one listening address.
type Listener struct {
	Address string `yaml:"address"` // host:port
	TLS     string `yaml:"tls"`     // none, starttls or implicit
}

// Upstream is the server that mail goes to.
type Upstream struct {
	Address        string   `yaml:"address"` // host:port; required
	TLS            string   `yaml:"tls"`     // none (loopback only), starttls or implicit
	Username       string   `yaml:"username"`
	PasswordFile   string   `yaml:"password_file"` // one line; readable by its owner alone
	TokenCommand   []string `yaml:"token_command"` // prints an OAuth2 token. Not in this version
	MaxConnections int      `yaml:"max_connections"`
}

// Route is another upstream for some mail.
type Route struct {
	Login    string   `yaml:"login"`
	From     string   `yaml:"from"`
	Upstream Upstream `yaml:"upstream"`
}

// Track is what is done to messages unless their sender says otherwise.
type Track struct {
	Opens             bool     `yaml:"opens"`
	Clicks            bool     `yaml:"clicks"`
	PlainText         bool     `yaml:"plain_text"`          // links in text/plain too; only with clicks
	ExcludeDomains    []string `yaml:"exclude_domains"`     // with their subdomains
	ExcludeSelectors  []string `yaml:"exclude_selectors"`   // CSS
	Dialects          []string `yaml:"dialects"`            // services whose fields and attributes are understood
	RecipientsOffFile string   `yaml:"recipients_off_file"` // Not in this version
	DKIM              []DKIM   `yaml:"dkim"`                // Not in this version
}

// DKIM is one signing domain.
type DKIM struct {
	Domain   string `yaml:"domain"`
	Selector string `yaml:"selector"`
	KeyFile  string `yaml:"key_file"`
}

// Tracker is the public HTTP side.
type Tracker struct {
	Listen         Listener `yaml:"listen"`          // tls: none, files or acme
	URL            string   `yaml:"url"`             // public base URL that goes into mail; required
	TrustedProxies []string `yaml:"trusted_proxies"` // CIDR; whose X-Forwarded-For counts
}

// Admin is the owner's side.
type Admin struct {
	Address string `yaml:"address"` // health and readiness; "" for none
	Socket  string `yaml:"socket"`  // unix socket of the command line; "" is beside the store
}

// Store says where messages and hits are kept.
type Store struct {
	DSN      string   `yaml:"dsn"`       // bolt:FILE
	KeepHits Duration `yaml:"keep_hits"` // how long hits are kept
	IP       string   `yaml:"ip"`        // truncate (/24, /48), full or none
}

// TLS are the certificates of our own listeners. Not in this version.
type TLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	ACME     ACME   `yaml:"acme"`
}

// ACME asks for certificates.
type ACME struct {
	Email string   `yaml:"email"`
	Hosts []string `yaml:"hosts"`
}

// Log is what is written to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Size is a number of octets, written with KiB, MiB or GiB.
type Size int64

// Duration is a time, written as Go does or with d for days.
type Duration time.Duration

// Default returns the configuration of an empty file.
func Default() Config {
	return Config{
		Relay: Relay{
			Listeners: []Listener{{Address: "127.0.0.1:2525", TLS: "none"}},
			Auth:      "none", MaxMessageSize: 50 << 20, MaxRecipients: 100,
		},
		Upstream: Upstream{TLS: "starttls", MaxConnections: 8},
		Track: Track{
			Opens: true, Clicks: true,
			ExcludeSelectors: []string{".gmail_signature", ".moz-signature", "#Signature", ".gmail_quote", "blockquote[type=cite]"},
		},
		Tracker:  Tracker{Listen: Listener{Address: "127.0.0.1:8080", TLS: "none"}},
		Admin:    Admin{Address: "127.0.0.1:8081"},
		Store:    Store{DSN: "bolt:telltale.db", KeepHits: Duration(400 * 24 * time.Hour), IP: "truncate"},
		KeysFile: "telltale.keys",
		Log:      Log{Level: "info", Format: "text"},
	}
}
