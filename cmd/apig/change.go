package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/apig-go/apig"
)

const (
	// batchSize is the most APIs that the service accepts in one request, and
	// batchParallel how many of those requests are in progress at once.
	batchSize     = 1000
	batchParallel = 4
)

// changeFlags are the flags of the commands that change something.
type changeFlags struct {
	common
	selection
	client   clientOptions
	env      string
	version  string // to roll back to; it says which environment
	dryRun   bool
	yes      bool
	key      string
	parallel count
	attempts count
}

func (o *changeFlags) define(p *program, c *cobra.Command, env string) {
	o.common.define(c, defaultTimeout, formTable, formJSON, formLines, formName)
	o.selection.define(c)
	fs := c.Flags()
	fs.Lookup("output").Usage += " (default table on a terminal, json elsewhere)"
	fs.StringVarP(&o.env, "env", "e", "", env)
	fs.BoolVarP(&o.dryRun, "dry-run", "n", false, "show what is in effect now, and change nothing")
	o.parallel, o.attempts = count{4, maxParallel}, count{4, 100}
	fs.VarP(&o.parallel, "parallel", "p", "how many requests may be in progress at once")
	fs.Var(&o.attempts, "max-attempts", "how often a request is sent at most; 1 never retries")
	p.completeNames(c)
}

// session is one run of a command that changes something.
type session struct {
	*reporter
	ctx        context.Context // of the whole run, with --timeout
	cancel     context.CancelFunc
	outer      context.Context // ends when the program is interrupted
	client     *apig.Client
	instanceID string
}

// open makes the client and begins the report. Its error is the end of the command.
func (p *program) open(c *cobra.Command, o common, options clientOptions) (*session, error) {
	r := p.newReporter(c.Name(), o)
	options.verbose = o.verbose && !o.quiet
	client, cfg, err := p.newClient(options)
	if err != nil {
		return nil, r.fail(exitUsage, err)
	}
	r.report.InstanceID = cfg.InstanceID
	ctx, cancel := context.WithTimeoutCause(c.Context(), o.timeout, fmt.Errorf("--timeout %v is over", o.timeout))
	return &session{reporter: r, ctx: ctx, cancel: cancel, outer: c.Context(), client: client, instanceID: cfg.InstanceID}, nil
}

// openChange does the same for a change of the selected APIs, and looks up the
// APIs and the environment. Without targets the command has ended with the error.
func (p *program) openChange(c *cobra.Command, o *changeFlags, names []string) (*session, []target, error) {
	o.names = names
	if o.selection.empty() {
		return nil, nil, errors.New("name APIs, or give --file or --group")
	}
	was, err := o.selection.read(p, false)
	if err != nil {
		return nil, nil, p.newReporter(c.Name(), o.common).fail(exitUsage, err)
	}
	if o.env == "" && was != nil {
		o.env = was.EnvID
	}
	if o.env == "" && c.Name() == "publish" {
		o.env = "RELEASE"
	}
	if o.env == "" && o.version == "" {
		return nil, nil, fmt.Errorf("--env is required: %s has no default environment", c.Name())
	}
	o.client.maxAttempts = o.attempts.n
	s, err := p.open(c, o.common, o.client)
	if err != nil {
		return nil, nil, err
	}
	targets, err := s.lookUp(o, was)
	if err != nil {
		s.cancel()
		return nil, nil, s.reporter.fail(exitCodeOf(s.outer, err), err)
	}
	s.report.DryRun, s.report.Key = o.dryRun, o.key
	if stopped, err := s.leave(targets, o); stopped {
		s.cancel()
		return nil, nil, err
	}
	return s, targets, nil
}

// lookUp finds the environment and the APIs. A report as input brings its
// environment, and goes to no other one.
func (s *session) lookUp(o *changeFlags, was *report) ([]target, error) {
	if was != nil {
		switch {
		case was.Command != s.report.Command:
			return nil, mistakef("%s is a report of \"apig %s\"", o.file, was.Command)
		case !strings.EqualFold(was.InstanceID, s.instanceID):
			return nil, mistakef("%s is a report of the gateway %s; APIG_INSTANCE_ID is %s", o.file, was.InstanceID, s.instanceID)
		case was.EnvID == "":
			return nil, mistakef("%s does not say in which environment", o.file)
		}
	}
	if o.version == "" {
		env, err := environment(s.ctx, s.client, o.env)
		if err != nil {
			return nil, err
		}
		if was != nil && !strings.EqualFold(env.ID, was.EnvID) {
			return nil, mistakef("%s is a report of the environment %s, and --env is %s", o.file, cmp.Or(was.EnvName, was.EnvID), env.Name)
		}
		s.report.EnvID, s.report.EnvName = env.ID, env.Name
	}
	return o.selection.find(s.ctx, s.client)
}

// leave begins the results, and ends the command if some APIs were not found or if
// this is a dry run: then nothing is sent.
func (s *session) leave(targets []target, o *changeFlags) (stopped bool, err error) {
	apis := make([]api, len(targets))
	for i, t := range targets {
		apis[i] = t.api()
	}
	s.begin(apis)
	incomplete := slices.ContainsFunc(targets, func(t target) bool { return t.err != nil })
	if !incomplete && !o.dryRun {
		return false, nil
	}
	var refused atomic.Bool
	s.progress.start(len(targets))
	inParallel(4, len(targets), func(i int) {
		to := result{api: apis[i], Outcome: outcomePlanned}
		err := targets[i].err
		if err == nil && o.dryRun {
			err = s.plan(&to, o.version)
		}
		switch {
		case err != nil:
			to.fail(err)
			refused.CompareAndSwap(false, errors.Is(err, apig.ErrUnauthorized))
		case incomplete && !o.dryRun:
			to.Outcome, to.notSent, to.problem = outcomeNotApplied, true, problem{Error: "not sent: other APIs were not found"}
		}
		s.set(i, to)
	})
	return true, s.end(s.exitCode(s.outer.Err() != nil, refused.Load()), nil)
}

// plan finds out what the change would replace, and what a rollback would go back
// to, as the client chooses it.
func (s *session) plan(to *result, versionID string) error {
	all, err := versions(s.ctx, s.client, to.APIID, s.report.EnvID)
	if err != nil {
		return err
	}
	if versionID != "" {
		i := slices.IndexFunc(all, func(v shownVersion) bool { return strings.EqualFold(v.VersionID, versionID) })
		if i < 0 {
			return fmt.Errorf("the gateway holds no version %s of this API", versionID)
		}
		to.Target = &all[i]
		all = slices.DeleteFunc(slices.Clone(all), func(v shownVersion) bool { return v.EnvID != to.Target.EnvID })
	}
	i := slices.IndexFunc(all, func(v shownVersion) bool { return v.InEffect })
	if i >= 0 {
		to.InEffect = &all[i]
	}
	switch {
	case s.report.Command != "rollback" || versionID != "":
		return nil
	case i < 0:
		return errors.New("it is not published there")
	case i == len(all)-1:
		return errors.New("the gateway holds no version before the one in effect")
	}
	to.Target = &all[i+1]
	return nil
}

// change is one change of many APIs.
type change struct {
	*session
	forgive  error // an error that matches it is success
	parallel int
	size     int // APIs at a time
	do       func(ctx context.Context, targets []target) []apig.BatchItem
}

// run makes the change. When the context ends, or the credentials are refused,
// nothing more is sent: five refused signatures would lock a key.
func (c *change) run(targets []target) error {
	var refused atomic.Pointer[error]
	var mistakes atomic.Int64
	chunks := slices.Collect(slices.Chunk(targets, c.size))
	c.progress.start(len(targets))
	inParallel(c.parallel, len(chunks), func(n int) {
		var items []apig.BatchItem
		why := refused.Load()
		notSent := true
		switch {
		case c.ctx.Err() != nil:
			items = failed(chunks[n], fmt.Errorf("not sent: %w", context.Cause(c.ctx)))
		case why != nil:
			items = failed(chunks[n], fmt.Errorf("not sent, because the credentials were refused: %w", *why))
		default:
			notSent = false
			items = c.do(c.ctx, chunks[n])
		}
		for i, item := range items {
			if errors.Is(item.Err, apig.ErrUnauthorized) {
				refused.CompareAndSwap(nil, &item.Err)
			}
			if errors.Is(item.Err, apig.ErrInvalidArgument) {
				mistakes.Add(1)
			}
			to := c.result(chunks[n][i], item)
			to.notSent = notSent
			c.set(n*c.size+i, to)
		}
	})
	if n := len(targets); n > 0 && int(mistakes.Load()) == n { // such as a remark that is too long
		return c.end(exitUsage, nil)
	}
	return c.end(c.exitCode(c.outer.Err() != nil, refused.Load() != nil), nil)
}

func (c *change) result(t target, item apig.BatchItem) result {
	to := result{api: t.api()}
	switch {
	case item.Err == nil:
		to.succeed(item.Record)
	case c.forgive != nil && errors.Is(item.Err, c.forgive) && apig.OutcomeOf(item.Err) == apig.NotApplied:
		to.Outcome, to.AlreadyOffline, to.RequestID = outcomeApplied, true, newProblem(item.Err).RequestID
	default:
		to.fail(item.Err)
	}
	return to
}

func failed(targets []target, why error) []apig.BatchItem {
	items := make([]apig.BatchItem, len(targets))
	for i := range items {
		items[i].Err = why
	}
	return items
}

// each makes the change for each API by itself.
func each(call func(context.Context, target) (*apig.PublishRecord, error)) func(context.Context, []target) []apig.BatchItem {
	return func(ctx context.Context, targets []target) []apig.BatchItem {
		items := make([]apig.BatchItem, len(targets))
		for i, t := range targets {
			items[i].Record, items[i].Err = call(ctx, t)
		}
		return items
	}
}

// inParallel calls do with 0 to n-1, in that order, several at once.
func inParallel(workers, n int, do func(int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(workers, n) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	running.Wait()
}

// confirm asks before a change that takes something out of effect.
func (s *session) confirm(yes bool, what string, targets []target) error {
	var names []string
	for _, t := range targets[:min(len(targets), 5)] {
		names = append(names, t.String())
	}
	if len(targets) > len(names) {
		names = append(names, fmt.Sprintf("and %d more", len(targets)-len(names)))
	}
	if yes || len(targets) == 0 || s.p.confirm(s.ctx, "%s %s: %s.", what, s.report.where(), strings.Join(names, ", ")) {
		return nil
	}
	for i, t := range targets {
		s.keep(i, result{api: t.api(), Outcome: outcomeNotApplied, problem: problem{Error: "not sent: not confirmed"}})
	}
	s.progress.silent = true
	return s.end(s.exitCode(s.outer.Err() != nil, false), errors.New("not confirmed; nothing has changed"))
}
