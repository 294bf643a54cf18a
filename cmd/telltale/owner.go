package main

// This file asks the running server over its unix socket, or, when none runs,
// opens the store itself and answers in the same way: the reading commands do not
// know the difference. They never wait for the store's lock.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"telltale/store"
	"telltale/tracker"
)

// get asks for a path of the owner's API and returns the body of a good answer.
func (o *options) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	cfg, err := o.load()
	if err != nil {
		return nil, err
	}
	socket := cfg.socket()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", socket)
		},
	}}
	target := "http://telltale" + path + "?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return o.offline(cfg, req)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the server at %s: %w", socket, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, problem(resp.Body)
	}
	return resp.Body, nil
}

// offline answers from the store of a server that does not run.
func (o *options) offline(cfg *Config, req *http.Request) (io.ReadCloser, error) {
	path, _ := strings.CutPrefix(cfg.Store.DSN, "bolt:")
	st, err := store.OpenReadOnly(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no server listens on %s, and there is no store at %s yet; start one with: telltale serve", cfg.socket(), path)
	}
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if req.URL.Query().Has("follow") {
		return nil, errors.New("no server runs, so there is nothing to follow; start one with: telltale serve")
	}
	s := &tracker.Server{Store: st, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	a := &answer{header: http.Header{}, status: http.StatusOK}
	s.Admin().ServeHTTP(a, req)
	body := strings.NewReader(a.body.String())
	if a.status != http.StatusOK {
		return nil, problem(body)
	}
	return io.NopCloser(body), nil
}

// answer is a response that is kept in memory.
type answer struct {
	header http.Header
	status int
	body   strings.Builder
}

// Flush has nothing to do.
func (a *answer) Flush() {}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// problem is the error that the API gave, with its next step.
func problem(body io.Reader) error {
	var p struct{ Error, Hint string }
	if err := json.NewDecoder(body).Decode(&p); err != nil || p.Error == "" {
		return errors.New("the server gave an answer that makes no sense; is it of the same version?")
	}
	return fmt.Errorf("%s; %s", p.Error, p.Hint)
}

// show copies an answer, or decodes it for people.
func show[T any](w io.Writer, body io.ReadCloser, asJSON bool, people func(io.Writer, T) error) error {
	defer body.Close()
	var v T
	if err := json.NewDecoder(body).Decode(&v); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if asJSON {
		return writeJSON(w, v)
	}
	return people(w, v)
}
