package main

import (
	"cmp"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/apig-go/apig"
)

func (p *program) settleCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "settle [REPORT] [flags]",
		Short: "Find out unknown outcomes of an earlier run",
		Long: `Reads the report of an earlier run (-o json or -o jsonl) from a file or from
stdin, looks for each change of unknown outcome in the gateway's history, and
writes the report again. It changes nothing on the gateway. The exit code is the
exit code of the whole report.

A report of -o jsonl that was cut off, because its command was killed, names the
APIs that are missing in it. A report of -o json is then empty: where a command
may be killed, use -o jsonl. The missing APIs stay unknown. Run the same command
again, with its --idempotency-key; without a key see "apig status" first, and
change the APIs that have not changed.`,
		Example: `  apig publish orders -e staging -o jsonl > r.jsonl || apig settle r.jsonl
  apig settle r.jsonl -o json > settled.json
  apig publish -f settled.json            # the APIs that were not applied`,
		Args: cobra.MaximumNArgs(1),
	}
	o.define(c, "", 2*time.Minute, formTable, formJSON, formLines, formName)
	o.defineParallel(c)
	return p.command(c, &o, changeExits, (*session).settle)
}

// settle writes the earlier report again, with the outcomes that it finds out.
func (s *session) settle() error {
	text, err := s.readInput(append(s.names, "")[0])
	if err != nil {
		return s.fail(err)
	}
	was, err := readReport(text)
	switch {
	case err != nil:
		return s.fail(err)
	case was.Command == "" && len(was.Results) == 0:
		return s.fail(&exit{exitUnknown, errors.New(`the report is empty or cut off, and every change may have been made: ` +
			`run the same command again with its --idempotency-key, if it had one; otherwise see "apig status" first; ` +
			`a report of -o jsonl names the APIs even then`)})
	}
	whole := was.ExitCode
	s.report = was
	s.report.Command = cmp.Or(was.Command, "settle")
	s.report.Asked, s.report.ExitCode = nil, nil
	var open []int
	s.begins(len(was.Results), func(i int) api { return was.Results[i].api })
	for i, to := range was.Results {
		if to.Outcome == outcomeUnknown {
			open = append(open, i)
		} else {
			s.set(i, to, false)
		}
	}
	s.progress.start(len(open))
	inParallel(s.parallel, len(open), func(n int) { s.set(open[n], s.settleOne(was.Results[open[n]]), true) })
	code := s.exitCode()
	switch {
	case whole == nil && len(was.Asked) == 0: // it does not even name its APIs
		err = errors.New("the report is not whole: it does not name its APIs")
		code, s.report.problem = exitUnknown, newProblem(err)
	case whole == nil && code == exitUnknown:
		err = errors.New("the report is not whole: its command was killed")
	case was.Error != "": // it had failed before there were results
		code, err = cmp.Or(code, *whole), errors.New(was.Error)
	case len(open) == 0 && !s.progress.silent:
		s.say("apig settle: nothing in the report is unknown")
	}
	return s.end(code, err)
}

// settleOne finds out the outcome of one change.
func (s *session) settleOne(to result) result {
	if to.Unknown == nil {
		to.Error = cmp.Or(to.Error, "the report does not say what was sent")
		return to
	}
	client, err := s.client, error(nil)
	if id := cmp.Or(to.Unknown.InstanceID, s.report.InstanceID); id != "" && id != s.cfg.InstanceID {
		client, err = s.client.Instance(id)
	}
	var record *apig.PublishRecord
	if err == nil {
		record, err = client.Settle(s.ctx, to.Unknown)
	}
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
