package main

// Whatever came signed or encrypted still verifies, or can be read, behind
// telltale. The signatures are made and verified by the tools that people use:
// gpg, openssl, and a DKIM library. Each body is one that would be tracked if it
// were not signed.

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"telltale/relay/relaytest"
)

// crlf makes the line ends of mail.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// signedEntities are what is signed: MIME entities that telltale would love.
var signedEntities = map[string]string{
	"quoted-printable": crlf("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" +
		"<html><body><p>caf=C3=A9 <a href=3D\"https://example.com/a?x=3D1&amp;y=3D2\">one</a> and =\n<a href=3D\"https://example.com/b\">two</a>.</p>\n</body></html>\n"),
	"8bit": crlf("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" +
		"<html><body><p>caf\u00e9 <a href=\"https://example.com/a?x=1&amp;y=2\">one</a> <a href=\"https://example.com/b\">two</a>.  \n\n\n</p></body></html>\n"),
}

// signer makes and verifies signatures with files in a folder of its own.
type signer struct {
	t   *testing.T
	dir string
}

func (s signer) file(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	writeFile(s.t, path, content)
	return path
}

// run runs a program and returns what it printed.
func (s signer) run(name string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(program(s.t, name), args...)
	cmd.Env = append(os.Environ(), "GNUPGHOME="+s.dir, "LC_ALL=C")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, problems.Bytes())
	}
	return string(out)
}

// gpgSigner has a key for a@example.org.
func gpgSigner(t *testing.T) signer {
	t.Helper()
	dir, err := os.MkdirTemp("", "gpg") // short: the agent's socket is in it
	if err != nil {
		t.Fatal(err)
	}
	s := signer{t, dir}
	t.Cleanup(func() {
		exec.Command("gpgconf", "--homedir", dir, "--kill", "all").Run()
		os.RemoveAll(dir)
	})
	s.gpg("--passphrase", "", "--quick-generate-key", "a@example.org", "default", "default", "never")
	return s
}

func (s signer) gpg(args ...string) string {
	s.t.Helper()
	return s.run("gpg", append([]string{"--batch", "--yes", "--quiet", "--trust-model", "always", "--pinentry-mode", "loopback"}, args...)...)
}

// opensslSigner has a certificate for a@example.org.
func opensslSigner(t *testing.T) signer {
	t.Helper()
	s := signer{t, t.TempDir()}
	s.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a@example.org", "-days", "2",
		"-keyout", filepath.Join(s.dir, "key.pem"), "-out", filepath.Join(s.dir, "cert.pem"))
	return s
}

func (s signer) smime(args ...string) string {
	s.t.Helper()
	return s.run("openssl", append([]string{"smime"}, args...)...)
}

// between returns what stands between two texts.
func between(t *testing.T, message, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(message, from)
	inside, _, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("nothing between %q and %q in\n%s", from, to, message)
	}
	return inside
}

// relayed sends a message through telltale and returns what the upstream got, and
// the reason that was kept.
func relayed(t *testing.T, id, message string) (got, reason string) {
	t.Helper()
	up := &relaytest.Upstream{}
	cfg := loadConfig(t, startUpstream(t, up, nil))
	cfg.Track.PlainText = true
	a, _ := mustStart(t, cfg)
	if err := send(a.smtp[0].Addr().String(), []byte(message)); err != nil {
		t.Fatal(err)
	}
	found, err := a.store.Find(t.Context(), id)
	if err != nil || len(found) != 1 || len(up.Messages()) != 1 {
		t.Fatalf("%d records, %d messages upstream, %v", len(found), len(up.Messages()), err)
	}
	return string(up.Messages()[0].Data), found[0].Reason
}

// header is the start of a message.
func header(id string) string {
	return crlf("From: a@example.org\nTo: b@example.net\nSubject: caf=?utf-8?q?=C3=A9?=\n one\nMessage-ID: <" + id + ">\nMIME-Version: 1.0\n")
}

// TestSignaturesSurvive: the octets are those that were sent, the reason is kept,
// and the tool that signed says so; unsigned, the same body is tracked.
func TestSignaturesSurvive(t *testing.T) {
	for name, entity := range signedEntities {
		t.Run("unsigned "+name, func(t *testing.T) {
			sent := header("plain@example.org") + entity
			if got, reason := relayed(t, "plain@example.org", sent); strings.Count(got, "/c/") != 2 || reason != "" {
				t.Errorf("not tracked (%q), so that the other cases show nothing:\n%s", reason, got)
			}
		})
		for _, x := range []struct {
			name, reason string
			sign         func(t *testing.T, entity string) (body string, verify func(got string))
		}{
			{"PGP MIME", "signed", pgpMIME},
			{"PGP encrypted", "encrypted", pgpEncrypted},
			{"PGP inline text", "PGP text", pgpInline("text/plain; charset=utf-8", "%s")},
			{"PGP inline HTML", "PGP text", pgpInline("text/html; charset=utf-8", "<p><a href=\"https://example.com/c\">three</a></p><pre>\r\n%s</pre>\r\n")},
			{"S/MIME detached", "signed", smimeSigned()},
			{"S/MIME opaque", "signed", smimeSigned("-nodetach")},
			{"S/MIME encrypted", "encrypted", smimeEncrypted},
		} {
			t.Run(x.name+" "+name, func(t *testing.T) {
				body, verify := x.sign(t, entity)
				sent := header("s@example.org") + body
				got, reason := relayed(t, "s@example.org", sent)
				if got != sent || !strings.HasPrefix(reason, x.reason) {
					t.Errorf("reason %q, want %q\n got %q\nwant %q", reason, x.reason, got, sent)
				}
				verify(got)
			})
		}
	}
}

func pgpMIME(t *testing.T, entity string) (string, func(string)) {
	s := gpgSigner(t)
	signature := s.gpg("--armor", "--detach-sign", "--textmode", "--output", "-", s.file("entity", strings.TrimSuffix(entity, "\r\n")))
	body := crlf("Content-Type: multipart/signed; boundary=\"pgp\"; micalg=pgp-sha512;\n protocol=\"application/pgp-signature\"\n\n--pgp\n" +
		entity + "--pgp\nContent-Type: application/pgp-signature; name=\"signature.asc\"\n\n" + signature + "\n--pgp--\n")
	return body, func(got string) {
		signed := s.file("signed", between(t, got, "--pgp\r\n", "\r\n--pgp\r\n"))
		s.gpg("--verify", s.file("signature", "-----BEGIN PGP SIGNATURE"+between(t, got, "-----BEGIN PGP SIGNATURE", "\r\n\r\n--pgp--")), signed)
	}
}

func pgpEncrypted(t *testing.T, entity string) (string, func(string)) {
	s := gpgSigner(t)
	sealed := s.gpg("--armor", "--encrypt", "--recipient", "a@example.org", "--output", "-", s.file("entity", entity))
	body := crlf("Content-Type: multipart/encrypted; boundary=pgp; protocol=\"application/pgp-encrypted\"\n\n--pgp\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n" +
		"--pgp\nContent-Type: application/octet-stream\n\n" + sealed + "\n--pgp--\n")
	return body, func(got string) {
		if back := s.gpg("--decrypt", s.file("sealed", "-----BEGIN PGP MESSAGE"+between(t, got, "-----BEGIN PGP MESSAGE", "\r\n--pgp--"))); back != entity {
			t.Errorf("decrypted %q, want %q", back, entity)
		}
	}
}

func pgpInline(kind, around string) func(*testing.T, string) (string, func(string)) {
	return func(t *testing.T, entity string) (string, func(string)) {
		s := gpgSigner(t)
		signed := crlf(s.gpg("--armor", "--clear-sign", "--output", "-", s.file("text", "see https://example.com/a\r\n- and https://example.com/b. caf\u00e9\r\n")))
		return "Content-Type: " + kind + "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + fmt.Sprintf(around, signed), func(got string) {
			const first, last = "-----BEGIN PGP SIGNED", "-----END PGP SIGNATURE-----"
			s.gpg("--verify", s.file("signed", first+between(t, got, first, last)+last+"\r\n"))
		}
	}
}

func smimeSigned(flags ...string) func(*testing.T, string) (string, func(string)) {
	return func(t *testing.T, entity string) (string, func(string)) {
		s := opensslSigner(t)
		cert := filepath.Join(s.dir, "cert.pem")
		out := s.smime(append([]string{"-sign", "-in", s.file("entity", entity), "-signer", cert, "-inkey", filepath.Join(s.dir, "key.pem"), "-crlfeol"}, flags...)...)
		_, body, _ := strings.Cut(crlf(out), "MIME-Version: 1.0\r\n")
		return body, func(got string) {
			back := s.smime("-verify", "-in", s.file("got", got), "-CAfile", cert, "-purpose", "any")
			if crlf(back) != entity {
				t.Errorf("verified %q, want %q", back, entity)
			}
		}
	}
}

func smimeEncrypted(t *testing.T, entity string) (string, func(string)) {
	s := opensslSigner(t)
	cert := filepath.Join(s.dir, "cert.pem")
	_, body, _ := strings.Cut(crlf(s.smime("-encrypt", "-aes256", "-in", s.file("entity", entity), cert)), "MIME-Version: 1.0\r\n")
	return body, func(got string) {
		if back := s.smime("-decrypt", "-in", s.file("got", got), "-recip", cert, "-inkey", filepath.Join(s.dir, "key.pem")); crlf(back) != entity {
			t.Errorf("decrypted %q, want %q", back, entity)
		}
	}
}

// Beside a part that is signed another may be tracked: the signature covers its
// own part alone.
func TestSignedPartBesideATrackedOne(t *testing.T) {
	signed, verify := pgpMIME(t, signedEntities["quoted-printable"])
	sent := header("m@example.org") + "Content-Type: multipart/mixed; boundary=mixed\r\n\r\n--mixed\r\n" + signed + "\r\n--mixed\r\n" + signedEntities["8bit"] + "--mixed--\r\n"
	got, _ := relayed(t, "m@example.org", sent)
	if strings.Count(got, "/c/") != 2 || strings.Count(got, "/o/") != 1 {
		t.Errorf("the part that is not signed is not tracked:\n%s", got)
	}
	verify(got)
}

// TestDKIMSurvives: in each canonicalization of header and body (RFC 6376 section
// 3.4), with both kinds of keys.
func TestDKIMSurvives(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]string{
		"ed._domainkey.example.org":  "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public),
		"rsa._domainkey.example.org": "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)),
	}
	lookup := func(domain string) ([]string, error) { return []string{records[domain]}, nil }
	for _, head := range []dkim.Canonicalization{dkim.CanonicalizationSimple, dkim.CanonicalizationRelaxed} {
		for _, body := range []dkim.Canonicalization{dkim.CanonicalizationSimple, dkim.CanonicalizationRelaxed} {
			for name, entity := range signedEntities {
				t.Run(fmt.Sprintf("%s/%s %s", head, body, name), func(t *testing.T) {
					options := &dkim.SignOptions{Domain: "example.org", Selector: "ed", Signer: private, HeaderCanonicalization: head, BodyCanonicalization: body}
					if name == "8bit" {
						options.Selector, options.Signer = "rsa", rsaKey
					}
					var signed bytes.Buffer
					if err := dkim.Sign(&signed, strings.NewReader(header("d@example.org")+"X-Track: on\r\n"+entity), options); err != nil {
						t.Fatal(err)
					}
					got, reason := relayed(t, "d@example.org", signed.String())
					if got != signed.String() || reason != "DKIM-signed" {
						t.Errorf("reason %q\n got %q\nwant %q", reason, got, signed.String())
					}
					verified, err := dkim.VerifyWithOptions(strings.NewReader(got), &dkim.VerifyOptions{LookupTXT: lookup})
					if err != nil || len(verified) != 1 || verified[0].Err != nil {
						t.Fatalf("%+v, %v", verified, err)
					}
				})
			}
		}
	}
}
