package main

// This file is "telltale key": the signing keys of the tracking links. A key file
// is written whole under another name first, so that no crash leaves half of one.

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"telltale/tracker/token"
)

func newKeyCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Make, list and revoke the signing keys of tracking links",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("key: name what to do: new, rotate, list or revoke")}
		},
	}
	c.AddCommand(
		&cobra.Command{
			Use: "new [FILE]", Short: "Make a key file with one key", Args: usageArgs(cobra.MaximumNArgs(1)),
			RunE: func(c *cobra.Command, args []string) error {
				path, err := o.keysFile(args)
				if err != nil {
					return err
				}
				if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("%s is there already, and links in sent mail need it; add a key with: telltale key rotate", path)
				}
				return addKey(c, path, nil)
			},
		},
		&cobra.Command{
			Use: "rotate", Short: "Add a key, which signs from now on; links that were sent still work", Args: usageArgs(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error {
				path, keys, err := o.keys()
				if err != nil {
					return err
				}
				return addKey(c, path, keys)
			},
		},
		&cobra.Command{
			Use: "list", Short: "List the keys, without their secrets", Args: usageArgs(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error {
				_, keys, err := o.keys()
				for _, k := range keys {
					state := "active"
					if k.Revoked {
						state = "revoked"
					}
					fmt.Fprintf(c.OutOrStdout(), "%3d  %s  %s\n", k.ID, k.Made.UTC().Format(time.RFC3339), state)
				}
				return err
			},
		},
		&cobra.Command{
			Use: "revoke ID", Short: "Revoke a key: links that it signed stop working", Args: usageArgs(cobra.ExactArgs(1)),
			RunE: func(c *cobra.Command, args []string) error { return o.revoke(c, args[0]) },
		},
	)
	return c
}

// keysFile is the file that is named, or the configuration's.
func (o *options) keysFile(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	cfg, err := o.load()
	if err != nil {
		return "", fmt.Errorf("%w\nor name the key file: telltale key new FILE", err)
	}
	return cfg.KeysFile, nil
}

func (o *options) keys() (string, []token.Key, error) {
	path, err := o.keysFile(nil)
	if err != nil {
		return "", nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", nil, fmt.Errorf("%w; make it with: telltale key new", err)
	}
	keys, err := token.ParseKeys(text)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	return path, keys, nil
}

func addKey(c *cobra.Command, path string, keys []token.Key) error {
	k, err := token.NewKey(keys, time.Now(), rand.Reader)
	if err != nil {
		return err
	}
	if err := writeKeys(path, append(keys, k)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "key %d is in %s; keep a copy of that file: links in sent mail need it.\nA running server takes it up at its next start.\n", k.ID, path)
	return err
}

func (o *options) revoke(c *cobra.Command, arg string) error {
	id, err := strconv.ParseUint(arg, 10, 8)
	if err != nil {
		return usageError{fmt.Errorf("revoke: %q is no key id; see: telltale key list", arg)}
	}
	path, keys, err := o.keys()
	if err != nil {
		return err
	}
	found := false
	for i := range keys {
		if keys[i].ID == byte(id) {
			keys[i].Revoked, found = true, true
		}
	}
	if !found {
		return fmt.Errorf("there is no key %d in %s; see: telltale key list", id, path)
	}
	if _, err := token.NewRing(keys); err != nil {
		return fmt.Errorf("%w left to sign with; add one first: telltale key rotate", err)
	}
	if err := writeKeys(path, keys); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "key %d is revoked from the next start of the server on\n", id)
	return err
}

// writeKeys replaces the file.
func writeKeys(path string, keys []token.Key) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".telltale-keys-") // mode 0600
	if err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(token.FormatKeys(keys))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	return nil
}

// syncDir makes a new name durable: links are signed with the key from now on.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
