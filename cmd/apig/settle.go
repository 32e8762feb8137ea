package main

import (
	"bytes"
	"cmp"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/apig-go/apig"
)

func (p *program) settleCommand() *cobra.Command {
	var o common
	parallel := count{4, maxParallel}
	c := &cobra.Command{
		Use:   "settle [REPORT] [flags]",
		Short: "Find out unknown outcomes of an earlier run",
		Long: `Reads the report of an earlier run (-o json or -o jsonl) from a file or from
stdin, looks for each change of unknown outcome in the gateway's history, and
writes the report again. It changes nothing on the gateway. The exit code is the
exit code of the whole report.

A report of -o jsonl that was cut off, because its command was killed, names the
APIs that are missing in it. A report of -o json is then empty. The missing APIs
stay unknown: run the command again with its --idempotency-key, or look at
"apig versions".`,
		Example: `  apig publish orders -e staging -o json > r.json || apig settle r.json
  apig settle r.json -o json > settled.json
  apig publish -f settled.json            # the APIs that were not applied`,
		Annotations: map[string]string{"exits": changeExits},
		Args:        cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := p.open(c, o, clientOptions{})
			if err != nil {
				return err
			}
			defer s.cancel()
			return s.settle(p, args, parallel.n)
		},
	}
	o.define(c, 2*time.Minute, formTable, formJSON, formLines, formName)
	c.Flags().Lookup("output").Usage += " (default table on a terminal, json elsewhere)"
	c.Flags().VarP(&parallel, "parallel", "p", "how many APIs may be in progress at once")
	return c
}

// settle writes the earlier report again, with the outcomes that it finds out.
func (s *session) settle(p *program, args []string, parallel int) error {
	text, err := p.readInput(append(args, "")[0])
	if err != nil {
		return s.fail(exitUsage, err)
	}
	was, err := readReport(bytes.NewReader(text))
	switch {
	case err != nil:
		return s.fail(exitUsage, err)
	case was.Command == "" && len(was.Results) == 0:
		return s.fail(exitUnknown, errors.New(`the report is empty or cut off, and every change may have been made: run the same command again with its --idempotency-key, if it had one; otherwise see "apig status" first`))
	}
	whole := was.ExitCode
	s.report = was
	s.report.Command = cmp.Or(was.Command, "settle")
	s.report.Asked, s.report.ExitCode, s.report.Interrupted = nil, nil, false
	var open []int
	apis := make([]api, len(was.Results))
	for i, to := range was.Results {
		apis[i] = to.api
		if to.Outcome == outcomeUnknown {
			open = append(open, i)
		}
	}
	s.begin(apis)
	for i, to := range was.Results {
		if to.Outcome != outcomeUnknown {
			s.keep(i, to)
		}
	}
	s.progress.start(len(open))
	inParallel(parallel, len(open), func(n int) { s.set(open[n], s.settleOne(was.Results[open[n]])) })
	code := s.exitCode(s.outer.Err() != nil, false)
	switch {
	case whole == nil && len(was.Asked) == 0: // it does not even name its APIs
		err := errors.New("the report is not whole: its first and its last line are missing")
		s.report.problem = newProblem(err)
		return s.end(exitUnknown, err)
	case whole == nil && code == exitUnknown:
		return s.end(code, errors.New("the report is not whole: its command was killed"))
	case was.Error != "": // it had failed before there were results
		code = cmp.Or(code, *whole)
		return s.end(code, errors.New(was.Error))
	case len(open) == 0 && !s.progress.silent:
		p.say("apig settle: nothing in the report is unknown")
	}
	return s.end(code, nil)
}

// settleOne finds out the outcome of one change.
func (s *session) settleOne(to result) result {
	if to.Unknown == nil {
		if to.Error == "" {
			to.Error = "the report does not say what was sent"
		}
		return to
	}
	client := s.client
	if id := cmp.Or(to.Unknown.InstanceID, s.report.InstanceID); id != "" && id != s.instanceID {
		var err error
		if client, err = s.client.Instance(id); err != nil {
			to.problem = newProblem(err)
			return to
		}
	}
	record, err := client.Settle(s.ctx, to.Unknown)
	switch {
	case err == nil:
		to.succeed(record)
	case errors.Is(err, apig.ErrInvalidArgument): // a damaged report proves nothing
		to.problem = newProblem(err)
	default:
		to.fail(err)
	}
	return to
}
