package main

// This file reads the configuration: strict YAML, then the environment, then
// flags. Every error says where it is (file and line, variable or flag), which
// key, and how to mend it. What values mean together is judged in
// config_check.go.

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// source says where keys were said.
type source struct {
	file  string
	where map[string]string // "upstream.address": "config.yaml:3" or "TELLTALE_UPSTREAM_ADDRESS"
}

// at returns where a key was said, or the file if it was not.
func (s *source) at(path string) string {
	if s == nil {
		return "configuration"
	}
	for p := path; p != ""; p = p[:max(0, strings.LastIndexAny(p, ".["))] {
		if where, ok := s.where[p]; ok {
			return where
		}
	}
	return s.file
}

// Load reads the file at path over the defaults, then variables TELLTALE_… of
// env, then sets of the form path=value. File names in it are relative to its
// folder. All faults are reported together.
func Load(path string, env, sets []string) (*Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there; copy config.example.yaml to it, or name another file with -c", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	cfg := Default()
	d := &decoder{source: &source{file: path, where: map[string]string{}}}
	cfg.source = d.source
	d.document(text, &cfg)
	for _, e := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(e, "=")
		if key, ok := strings.CutPrefix(name, "TELLTALE_"); ok && !ownVariable(key) {
			d.override(name, keyOf(key), value, &cfg)
		}
	}
	for _, s := range sets {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--set %s: expected path=value, such as --set upstream.address=mail.example.com:587", s)}
		}
		d.override("--set "+key, key, value, &cfg)
	}
	if len(d.faults) > 0 {
		return nil, errors.Join(d.faults...)
	}
	cfg.relativeTo(filepath.Dir(path))
	return &cfg, nil
}

// ownVariable reports variables that are not keys.
func ownVariable(key string) bool {
	return key == "SHARED" || strings.HasPrefix(key, "TEST_") || strings.HasPrefix(key, "NO_") || key == "CONFIG"
}

// relativeTo makes file names that are relative start at the configuration's
// folder.
func (c *Config) relativeTo(dir string) {
	for _, p := range []*string{&c.KeysFile, &c.Upstream.PasswordFile, &c.Relay.UsersFile, &c.Admin.Socket, &c.TLS.CertFile, &c.TLS.KeyFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	if path, ok := strings.CutPrefix(c.Store.DSN, "bolt:"); ok && path != "" && !filepath.IsAbs(path) {
		c.Store.DSN = "bolt:" + filepath.Join(dir, path)
	}
}

// decoder fills a Config from YAML nodes.
type decoder struct {
	source *source
	from   string // a variable or a flag, instead of the file
	faults []error
}

func (d *decoder) fault(where, path, format string, args ...any) {
	if path != "" {
		path += ": "
	}
	d.faults = append(d.faults, fmt.Errorf("%s: %s%s", where, path, fmt.Sprintf(format, args...)))
}

// place returns where a node stands.
func (d *decoder) place(n ast.Node) string {
	if d.from != "" {
		return d.from
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return d.source.file + ":" + strconv.Itoa(t.Position.Line)
	}
	return d.source.file
}

// document decodes a file.
func (d *decoder) document(text []byte, cfg *Config) {
	// Some editors put a byte order mark in front.
	file, err := parser.ParseBytes(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), 0)
	if err != nil {
		line, what, _ := strings.Cut(strings.TrimPrefix(err.Error(), "["), "] ")
		what, _, _ = strings.Cut(what, "\n")
		line, _, _ = strings.Cut(line, ":")
		d.fault(d.source.file+":"+line, "", "not YAML: %s; check indentation, colons and quotes there", what)
		return
	}
	if len(file.Docs) > 1 {
		where := d.source.file
		if start := file.Docs[1].Start; start != nil {
			where += ":" + strconv.Itoa(start.Position.Line)
		}
		d.fault(where, "", "a second document; keep one")
		return
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			d.decode(doc.Body, reflect.ValueOf(cfg).Elem(), "")
		}
	}
}

// override decodes one value for one key.
func (d *decoder) override(from, path, value string, cfg *Config) {
	v, ok := d.find(reflect.ValueOf(cfg).Elem(), path)
	if !ok {
		d.fault(from, "", "names no key%s", suggest(path, allPaths(reflect.TypeFor[Config](), "")))
		return
	}
	d.from = from
	defer func() { d.from = "" }()
	if v.Kind() == reflect.String {
		// Not parsed as YAML: a file name may look like anything.
		v.SetString(value)
		d.source.where[path] = from
		return
	}
	file, err := parser.ParseBytes([]byte(value), 0)
	if err != nil || len(file.Docs) != 1 || file.Docs[0].Body == nil {
		d.fault(from, "", "%q is no value for it", value)
		return
	}
	d.decode(file.Docs[0].Body, v, path)
}

// find returns the field with this path.
func (d *decoder) find(v reflect.Value, path string) (reflect.Value, bool) {
	name, rest, more := strings.Cut(path, ".")
	if v.Kind() != reflect.Struct {
		return v, false
	}
	i, ok := fieldOf(v.Type(), name)
	if !ok {
		return v, false
	}
	if more {
		return d.find(v.Field(i), rest)
	}
	return v.Field(i), true
}

// fieldOf returns the field of a struct with this key.
func fieldOf(t reflect.Type, key string) (int, bool) {
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" && tag == key {
			return i, true
		}
	}
	return 0, false
}

// allPaths returns the paths of all keys.
func allPaths(t reflect.Type, prefix string) (paths []string) {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" {
			paths = append(append(paths, prefix+tag), allPaths(t.Field(i).Type, prefix+tag+".")...)
		}
	}
	return paths
}

// keyOf finds the path that a variable's name stands for: dots and underscores
// look alike there.
func keyOf(variable string) string {
	want := strings.ToLower(variable)
	for _, p := range allPaths(reflect.TypeFor[Config](), "") {
		if strings.ReplaceAll(p, ".", "_") == want {
			return p
		}
	}
	return want
}

// decode sets v from a node.
func (d *decoder) decode(n ast.Node, v reflect.Value, path string) {
	switch x := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.fault(d.place(n), path, "anchors, aliases and tags are not taken; write the value out")
		return
	case *ast.NullNode, *ast.CommentGroupNode:
		if path != "" && v.Kind() != reflect.Struct {
			d.fault(d.place(n), path, "has no value; give one, or remove the line to get the default")
		}
		return
	case *ast.MappingValueNode:
		n = &ast.MappingNode{BaseNode: x.BaseNode, Start: x.Start, Values: []*ast.MappingValueNode{x}}
	}
	d.source.where[path] = d.place(n)
	switch {
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, path)
	case v.Kind() == reflect.Slice:
		d.sequence(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.fault(d.place(n), path, "expected keys below it, such as %s", strings.Join(keys(v.Type()), ", "))
		return
	}
	seen := map[string]bool{}
	for _, pair := range m.Values {
		key := pair.Key.GetToken().Value
		full := key
		if path != "" {
			full = path + "." + key
		}
		i, ok := fieldOf(v.Type(), key)
		switch {
		case !ok:
			d.fault(d.place(pair.Key), full, "unknown key%s", suggest(key, keys(v.Type())))
		case seen[key]:
			d.fault(d.place(pair.Key), full, "is there twice; remove one")
		default:
			d.decode(pair.Value, v.Field(i), full)
			d.source.where[full] = d.place(pair.Key)
		}
		seen[key] = true
	}
}

func keys(t reflect.Type) (list []string) {
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" {
			list = append(list, tag)
		}
	}
	return list
}

func (d *decoder) sequence(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fault(d.place(n), path, "expected a list, such as [a, b]")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, item := range s.Values {
		d.decode(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(list)
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	if _, ok := n.(ast.ScalarNode); !ok {
		d.fault(d.place(n), path, "expected one value, not a list or keys")
		return
	}
	text := n.GetToken().Value
	if s, ok := n.(*ast.StringNode); ok {
		text = s.Value
	}
	switch target := v.Addr().Interface().(type) {
	case *string:
		if _, ok := n.(*ast.StringNode); !ok {
			d.fault(d.place(n), path, "expected text, got %s; put it in quotes", text)
			return
		}
		*target = text
	case *bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.fault(d.place(n), path, "expected true or false, got %q", text)
			return
		}
		*target = b.Value
	case *int:
		i, err := strconv.Atoi(text)
		if err != nil {
			d.fault(d.place(n), path, "expected a number, got %q", text)
			return
		}
		*target = i
	case *Size:
		size, err := parseSize(text)
		if err != nil {
			d.fault(d.place(n), path, "expected a size such as 50MiB, got %q", text)
			return
		}
		*target = size
	case *Duration:
		t, err := parseDuration(text)
		if err != nil {
			d.fault(d.place(n), path, "expected a time such as 400d or 12h, got %q", text)
			return
		}
		*target = t
	}
}

// parseSize reads a number of octets with an optional unit.
func parseSize(s string) (Size, error) {
	unit := int64(1)
	for suffix, n := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = strings.TrimSpace(rest), n
		}
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return 0, errors.New("not a size")
	}
	return Size(n * unit), nil
}

// parseDuration reads a time as Go does, or in days.
func parseDuration(s string) (Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return Duration(time.Duration(n) * 24 * time.Hour), err
	}
	t, err := time.ParseDuration(s)
	if err == nil && t < 0 {
		err = errors.New("negative")
	}
	return Duration(t), err
}

// suggest names the nearest of some words, if it is near.
func suggest(word string, list []string) string {
	best, least := "", 3
	for _, s := range list {
		if n := distance(word, s); n < least {
			best, least = s, n
		}
	}
	if best == "" {
		if len(list) > 12 {
			return "; config.example.yaml has all keys"
		}
		return "; there are " + strings.Join(list, ", ")
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance counts the letters to change between two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
