// Command telltale is an SMTP relay that counts opens and clicks of the mail that
// goes through it, and the tools to look at what it has counted.
//
// One file is one command. config.go is the configuration, serve.go wires the
// parts together; what the parts do stands in their packages.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(newRootCommand()))
}

// run executes a command line. Exit status: 0 done, 1 failed or not found, 2 a
// command line that makes no sense.
func run(root *cobra.Command) int {
	err := root.Execute()
	if err == nil {
		return 0
	}
	fmt.Fprintln(root.ErrOrStderr(), "telltale:", err)
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintln(root.ErrOrStderr(), `Try "telltale --help".`)
		return 2
	}
	return 1
}

// options are the flags that every command has.
type options struct {
	config string
	sets   []string
}

// load reads the configuration.
func (o *options) load() (*Config, error) {
	return Load(o.config, os.Environ(), o.sets)
}

func newRootCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:           "telltale",
		Short:         "An SMTP relay that counts opens and clicks",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.PersistentFlags().StringVarP(&o.config, "config", "c", "config.yaml", "configuration file")
	root.PersistentFlags().StringArrayVar(&o.sets, "set", nil, "override one key, as path=value; may be repeated")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newServeCommand(o), newDemoCommand(), newCheckCommand(o), newPreviewCommand(o),
		newStatsCommand(o), newMessagesCommand(o), newEventsCommand(o), newKeyCommand(o),
	)
	return root
}

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%s: %w; usage: %s", c.Name(), err, c.UseLine())}
		}
		return nil
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// version is the version of this build, from the build information.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
