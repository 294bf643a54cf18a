package main

// The command line as its users see it: testdata/script, each file a session with
// the real program. Exit status, words and next steps are what is tested.

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"telltale/relay/relaytest"
)

// session is what a script works with, beside its folder.
type session struct {
	upstream *relaytest.Upstream
	server   *process
}

type sessionKey struct{}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			s := &session{upstream: &relaytest.Upstream{}}
			go s.upstream.Serve(ln)
			e.Values[sessionKey{}] = s
			e.Defer(func() {
				if s.server != nil {
					s.server.kill()
				}
				s.upstream.Close()
			})
			e.Setenv("UPSTREAM", ln.Addr().String())
			e.Setenv("NO_PROXY", "127.0.0.1")
			_, err = writeConfig(e.WorkDir, ln.Addr().String())
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serve": scriptServe, "terminate": scriptTerminate, "send": scriptSend, "visit": scriptVisit,
		},
	})
}

func of(ts *testscript.TestScript) *session { return ts.Value(sessionKey{}).(*session) }

// exits runs a command and compares its exit status: "exits 2 telltale frob".
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits status program [args...]")
	}
	got := "exit status 0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = err.Error()
	}
	if want := "exit status " + args[0]; got != want {
		ts.Fatalf("%s: %s, want %s", strings.Join(args[1:], " "), got, want)
	}
}

// scriptServe starts a server with the script's configuration; $TRACKER is then
// its public address.
func scriptServe(ts *testscript.TestScript, _ bool, _ []string) {
	p, err := runServe(filepath.Join(ts.Getenv("WORK"), "config.yaml"))
	ts.Check(err)
	of(ts).server = p
	ts.Setenv("TRACKER", p.Tracker)
}

// scriptTerminate sends SIGTERM and wants a clean end.
func scriptTerminate(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(of(ts).server.end(syscall.SIGTERM))
}

// scriptSend sends a file through the server, which must be taken.
func scriptSend(ts *testscript.TestScript, _ bool, args []string) {
	message := strings.ReplaceAll(ts.ReadFile(args[0]), "\n", "\r\n")
	ts.Check(send(of(ts).server.SMTP[0], []byte(message)))
}

// scriptVisit asks for the pixel (o) or the link (c) of the last message.
func scriptVisit(ts *testscript.TestScript, _ bool, args []string) {
	all := of(ts).upstream.Messages()
	if len(all) == 0 {
		ts.Fatalf("nothing was sent")
	}
	status, err := fetch(of(ts).server.Tracker, tracked(all[len(all)-1].Data, args[0]))
	ts.Check(err)
	if want := map[string]int{"o": 200, "c": 302}[args[0]]; status != want {
		ts.Check(fmt.Errorf("%s answers %d, want %d", args[0], status, want))
	}
}
