// Command test runs "go test" and lists at the end which tests were skipped, and
// why: a part that needs a real daemon which is absent must not look as if it had
// passed. With TELLTALE_NO_SKIP=1 a skip is a failure. It knows nothing of what is
// tested.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// event is a line of "go test -json".
type event struct {
	Action, Package, Test, Output string
}

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json", "-timeout", "15m"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	output := map[string]string{} // of tests that have not ended
	var skipped []string
	scan := bufio.NewScanner(out)
	scan.Buffer(nil, 16<<20)
	for scan.Scan() {
		var e event
		if json.Unmarshal(scan.Bytes(), &e) != nil {
			fmt.Println(scan.Text())
			continue
		}
		name := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			output[name] += e.Output
		case "skip":
			if e.Test != "" {
				skipped = append(skipped, name+": "+reason(output[name]))
			}
			delete(output, name)
		case "fail":
			fmt.Print(output[name])
			delete(output, name)
		case "pass":
			if e.Test == "" {
				fmt.Println("ok  ", e.Package)
			}
			delete(output, name)
		}
	}
	err = cmd.Wait()
	if err != nil {
		for _, text := range output { // a package that did not build, a panic
			fmt.Print(text)
		}
	}
	if len(skipped) > 0 {
		fmt.Printf("\nskipped: %d\n  %s\n", len(skipped), strings.Join(skipped, "\n  "))
	}
	switch {
	case err != nil:
		fmt.Println("FAILED:", err)
		os.Exit(1)
	case len(skipped) > 0 && os.Getenv("TELLTALE_NO_SKIP") != "":
		fmt.Println("FAILED: nothing may be skipped here (TELLTALE_NO_SKIP)")
		os.Exit(1)
	}
}

// reason finds the words that a test gave to Skip: the last that it said.
func reason(output string) string {
	why := "no reason given"
	for line := range strings.Lines(output) {
		if _, text, ok := strings.Cut(line, "_test.go:"); ok {
			_, text, _ = strings.Cut(text, ": ")
			why = strings.TrimSpace(text)
		}
	}
	return why
}
