package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/apig-go/apig"
)

var settleCommand = &command{
	name:     "settle",
	summary:  "find out what became of what was unknown",
	synopsis: "[flags] [REPORT]",
	about: `Reads the report of an earlier run, in any form, from a file or from stdin, and finds out
what became of the changes whose outcome was unknown: from the remark as it was sent and
the time on the gateway's clock. Nothing is changed. It writes the report again, with
what it has found out; the exit code is that of the whole report.
`,
	exits: `  0    done: all of the report is in effect
  1    not applied: at least one change of the report
  2    unknown: still, of at least one; settle can be tried again
  64   usage, configuration, or no report
`,
	examples: `  apig settle report.jsonl
  apig publish -file apis.txt > report.json || apig settle report.json
  apig settle -json=lines < report.json
  apig settle -json=lines report.json | jq -r 'select(.outcome == "not_applied").api_id' | apig publish -file -
`,
	run: program.settle,
}

func (p program) settle(ctx context.Context, c *command, args []string) int {
	var (
		o        common
		parallel int
	)
	fs := newFlags(c)
	o.define(fs, 2*time.Minute)
	fs.IntVar(&parallel, "parallel", 4, "how many APIs may be under way at once, up to 256")
	o.json = jsonObject
	fs.Var(&o.json, "json", "`form` of the report: object at the end, or lines, one for each API as soon as it is known")
	if err := p.parse(c, fs, args, 1); err != nil {
		return p.usage(c, err)
	}
	if err := errors.Join(o.check(), o.json.checkReading(), checkParallel(parallel)); err != nil {
		return p.usage(c, err)
	}
	s, code := p.open(ctx, c.name, o, false)
	if s == nil {
		return code
	}
	defer s.cancel()
	was, err := p.readReport(fs.Arg(0))
	if err != nil {
		return s.reporter.fail(exitUsage, err)
	}
	return s.settle(ctx, was, parallel, o.quiet)
}

// settle writes the earlier report again, with what became of the unknown.
func (s *session) settle(ctx context.Context, was report, parallel int, quiet bool) int {
	r := s.reporter
	r.report.EnvID, r.report.problem = was.EnvID, was.problem
	r.report.Results = make([]result, len(was.Results))
	var open []int
	for i, to := range was.Results {
		if to.Outcome == outcomeUnknown {
			open = append(open, i)
		} else {
			r.keep(i, to)
		}
	}
	if len(open) == 0 && !quiet {
		fmt.Fprintln(r.out.stderr, "apig settle: nothing in the report is unknown")
	}
	r.progress.start(len(open))
	inParallel(parallel, len(open), func(n int) {
		r.set(open[n], s.settleOne(was.Results[open[n]]))
	})
	code := r.exitCode()
	if code == exitDone && was.Error != "" { // it had failed before there were results
		code = exitNotApplied
	}
	r.report.Interrupted = code != exitDone && ctx.Err() != nil
	return r.end(code)
}

// settleOne finds out what became of one change.
func (s *session) settleOne(was result) result {
	to := was
	to.problem = problem{}
	if was.Unknown == nil {
		to.problem = problem{Error: "the report does not say what was sent"}
		return to
	}
	to.InstanceID = cmp.Or(was.InstanceID, was.Unknown.InstanceID)
	client, err := s.at(to.InstanceID)
	if err != nil {
		to.problem = newProblem(err)
		return to
	}
	record, err := client.Settle(s.ctx, was.Unknown)
	switch {
	case err == nil:
		to.Unknown = nil
		to.succeed(record)
	case apig.OutcomeOf(err) == apig.Unknown, errors.Is(err, apig.ErrInvalidArgument): // a damaged report proves nothing
		to.problem = newProblem(err)
		if still := unknownOf(err); still != nil {
			to.Unknown = still
		}
	default:
		to.Unknown = nil
		to.Outcome, to.problem = outcomeNotApplied, newProblem(err)
	}
	return to
}

// at is the client for the gateway that a report is about.
func (s *session) at(instanceID string) (*apig.Client, error) {
	if instanceID == "" || instanceID == s.reporter.report.InstanceID {
		return s.client, nil
	}
	return s.client.Instance(instanceID)
}

// readReport reads an earlier report.
func (p program) readReport(path string) (report, error) {
	from := p.stdin
	if path != "" && path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return report{}, err
		}
		defer file.Close()
		from = file
	}
	was := earlier{open: map[place]int{}}
	decoder := json.NewDecoder(from)
	for n := 0; ; n++ {
		var text json.RawMessage
		err := decoder.Decode(&text)
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return was.ended(), nil
		case errors.Is(err, io.EOF):
			return report{}, errors.New("the report is empty")
		case errors.Is(err, io.ErrUnexpectedEOF) && n > 0:
			fmt.Fprintln(p.stderr, "apig settle: the last line of the report is incomplete and left out")
			return was.ended(), nil
		case err == nil:
			err = was.add(text)
		}
		if err != nil {
			return report{}, fmt.Errorf("this is not a report: %w", err)
		}
	}
}

// earlier is a report as far as it was read.
type earlier struct {
	report
	open map[place]int // where the results are of what a journal says is not done
}

type place struct{ instanceID, apiID string }

// add takes the next line of a report, or an object that is a whole one.
func (r *earlier) add(text json.RawMessage) error {
	var whole report
	if err := json.Unmarshal(text, &whole); err != nil {
		return err
	}
	var one result
	if err := json.Unmarshal(text, &one); err != nil {
		return err
	}
	switch {
	case whole.Command == "":
		return errors.New("it names no command")
	case one.Outcome != "":
		r.take(one)
	default:
		r.EnvID = whole.EnvID
		for _, to := range whole.Results {
			r.take(to)
		}
		if whole.Error != "" {
			r.problem = whole.problem
		}
	}
	return nil
}

// take adds a result, in the place of the line that a journal had for the API
// before.
func (r *earlier) take(to result) {
	at := place{to.InstanceID, to.APIID}
	n, open := r.open[at]
	delete(r.open, at)
	// A version knows its environment, its ID does not tell.
	if open && (r.Results[n].EnvID == to.EnvID || r.Results[n].EnvID == "") {
		r.Results[n] = to
	} else {
		r.Results = append(r.Results, to)
		n = len(r.Results) - 1
	}
	if to.Outcome == outcomeWaiting || to.Outcome == outcomeSent {
		r.open[at] = n
	}
}

// ended is the report of a process that has ended. What it had sent and never
// reported is unknown, and has failed by now; what waited was not sent.
func (r *earlier) ended() report {
	for i := range r.Results {
		switch to := &r.Results[i]; to.Outcome {
		case outcomeWaiting:
			to.Outcome, to.problem = outcomeNotApplied, problem{Error: "not sent: the program had ended before"}
		case outcomeSent:
			to.Outcome = outcomeUnknown
			if to.Unknown != nil {
				to.Unknown.FailedAt = time.Now()
			}
		}
	}
	return r.report
}
