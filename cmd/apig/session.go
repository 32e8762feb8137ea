package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/apig-go/apig"
)

// session is one run of a command that talks to a gateway. Several goroutines may
// report results to it at once.
type session struct {
	*program
	*options
	ctx    context.Context // of the whole run, with --timeout
	cancel context.CancelFunc
	outer  context.Context // ends when the program is interrupted
	cfg    apig.Config
	client *apig.Client

	progress *progress
	mu       sync.Mutex
	report   report
}

// command completes a command that talks to a gateway: it ends with the error of do, and
// with one of the exit codes.
func (p *program) command(c *cobra.Command, o *options, exits string, do func(*session) error) *cobra.Command {
	c.Annotations = map[string]string{"exits": exits}
	c.RunE = func(c *cobra.Command, args []string) error {
		o.names = args
		s := p.begin(c, o)
		defer s.cancel()
		if err := s.connect(nil); err != nil {
			return s.fail(err)
		}
		return do(s)
	}
	return c
}

// begin begins a run of a command. It ends with the command's context, or after
// --timeout.
func (p *program) begin(c *cobra.Command, o *options) *session {
	s := &session{program: p, options: o, outer: c.Context(), report: report{Command: c.Name()}}
	s.ctx, s.cancel = context.WithTimeoutCause(s.outer, o.timeout, fmt.Errorf("--timeout %v is over", o.timeout))
	s.progress = p.newProgress(o, c.Name())
	_, terminal := terminalOf(p.stdout)
	o.form = cmp.Or(o.form, map[bool]string{true: formTable, false: formJSON}[terminal])
	s.progress.brief = terminal && o.form == formTable
	s.progress.quiet = o.quiet && !s.progress.brief
	s.progress.silent = o.quiet || terminal && o.form == formLines // each line shows how far it is
	return s
}

// connect makes the client that the environment and the flags describe. wrap is nil,
// or sees each request.
func (s *session) connect(wrap func(http.RoundTripper) http.RoundTripper) (err error) {
	if s.cfg, err = s.config(); err != nil {
		return err
	}
	s.cfg.UserAgent = "apig-command"
	s.cfg.DisableTags = s.disableTags
	s.cfg.Retry.MaxAttempts = cmp.Or(s.maxAttempts, s.cfg.Retry.MaxAttempts)
	s.cfg.Retry.BusyTimeout = cmp.Or(s.busyTimeout, s.cfg.Retry.BusyTimeout)
	if s.verbose && !s.quiet {
		s.cfg.Logger = slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	hc := http.Client{}
	if s.cfg.HTTPClient != nil {
		hc = *s.cfg.HTTPClient
	}
	if hc.Transport == nil {
		hc.Transport = newTransport()
	}
	if wrap != nil {
		hc.Transport = wrap(hc.Transport)
	}
	s.cfg.HTTPClient = &hc
	s.report.InstanceID = s.cfg.InstanceID
	s.client, err = apig.New(s.cfg)
	return err
}

// newTransport keeps as many connections as there may be workers, closes idle ones
// before a load balancer does, and notices dead HTTP/2 connections.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = maxParallel, maxParallel
	t.IdleConnTimeout = 30 * time.Second
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
	return t
}

// write writes what a command has found out, in the form that was asked for. The first
// row is the header.
func (s *session) write(object any, names []string, rows [][]string) {
	switch {
	case s.form == formJSON:
		s.writeJSON(object, "  ")
	case s.form == formLines:
		s.writeJSON(object, "")
	case s.form == formName:
		for _, name := range names {
			fmt.Fprintln(s.stdout, clean(name))
		}
	case len(rows) > 1:
		s.table(rows)
	}
}
