package main

import (
	"context"
	"errors"

	"github.com/apig-go/apig"
)

// session is one run of a command that changes something.
type session struct {
	client   *apig.Client
	sent     *sendings
	reporter *reporter

	ctx         context.Context // of the whole run, with -timeout
	cancel      context.CancelFunc
	interrupted func() bool
}

// open makes the client and begins the report. Without a session it has failed,
// with this exit code.
func (p program) open(ctx context.Context, name string, o common, tag bool) (*session, int) {
	r := &reporter{
		mode: o.json, out: &output{p.stdout, p.stderr}, progress: p.newProgress(o),
		report: report{Command: name},
	}
	client, sent, instanceID, err := p.newClient(o, tag)
	if err != nil {
		return nil, r.fail(exitUsage, err)
	}
	r.report.InstanceID = instanceID
	limited, cancel := context.WithTimeout(ctx, o.timeout)
	return &session{
		client: client, sent: sent, reporter: r, ctx: limited, cancel: cancel,
		interrupted: func() bool { return ctx.Err() != nil },
	}, exitDone
}

// lookUp finds the environment and the APIs.
func (s *session) lookUp(sel selection, env string, p program, checkIDs bool) (string, []target, error) {
	wanted, err := sel.wanted(p.stdin)
	if err != nil {
		return "", nil, &inputError{err}
	}
	envID, err := environmentID(s.ctx, s.client, env, checkIDs)
	if err != nil {
		return "", nil, err
	}
	s.reporter.report.EnvID = envID
	targets, err := sel.find(s.ctx, s.client, wanted, checkIDs)
	if err != nil {
		return "", nil, err
	}
	s.reporter.report.Results = make([]result, len(targets))
	s.reporter.progress.start(len(targets))
	return envID, targets, nil
}

// inputError is a file that cannot be read.
type inputError struct{ error }

func (s *session) failLookUp(err error) int {
	switch {
	case errors.As(err, new(*inputError)), errors.Is(err, apig.ErrInvalidArgument):
		return s.reporter.fail(exitUsage, err)
	case s.interrupted():
		return s.reporter.fail(exitInterrupted, err)
	}
	return s.reporter.fail(exitNotApplied, err)
}

// missing reports whether something was not found: then nothing is sent.
func missing(targets []target) bool {
	for _, t := range targets {
		if t.err != nil {
			return true
		}
	}
	return false
}

// leave reports targets without changing anything: as planned, or as not applied
// if some of them were not found.
func (s *session) leave(envID string, targets []target) int {
	incomplete := missing(targets)
	for i, t := range targets {
		to := result{API: t.asked, APIID: t.id, APIName: t.name, EnvID: envID, Outcome: outcomePlanned}
		switch {
		case t.err != nil:
			to.Outcome, to.problem = outcomeNotApplied, newProblem(t.err)
		case incomplete:
			to.Outcome, to.problem = outcomeNotApplied, newProblem(errNotLookedUp)
		}
		s.reporter.set(i, to)
	}
	return s.reporter.end(s.reporter.exitCode())
}
