package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/apig-go/apig"
)

// The outcomes of one API.
const (
	outcomeApplied    = "applied"
	outcomeNotApplied = "not_applied"
	outcomeUnknown    = "unknown"
	outcomePlanned    = "planned" // a dry run

	// In a journal, until a later line for the same API says more.
	outcomeWaiting = "waiting" // not sent yet
	outcomeSent    = "sent"    // about to be sent
)

// result is what became of one API. It has the same form in a line of its own
// and within a report.
type result struct {
	Command    string `json:"command"`
	API        string `json:"api"` // as it was asked for
	APIID      string `json:"api_id,omitempty"`
	APIName    string `json:"api_name,omitempty"`
	InstanceID string `json:"instance_id,omitempty"`
	EnvID      string `json:"env_id,omitempty"`
	Outcome    string `json:"outcome"`
	problem
	Remark         string              `json:"remark,omitempty"`          // as sent, with its tag
	Attempts       int                 `json:"attempts,omitempty"`        // requests that were sent to change this API
	Recovered      bool                `json:"recovered,omitempty"`       // the answer was lost, and found in the history
	AlreadyOffline bool                `json:"already_offline,omitempty"` // with -idempotent
	Record         *apig.PublishRecord `json:"record,omitempty"`
	Unknown        *apig.UnknownError  `json:"unknown,omitempty"` // what settle needs
}

// problem is why something failed. RequestID belongs to the answer, be it good
// or bad.
type problem struct {
	Error     string `json:"error,omitempty"`
	ErrorCode string `json:"error_code,omitempty"`
	Status    int    `json:"status,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

func newProblem(err error) problem {
	p := problem{Error: err.Error()}
	var answered *apig.APIGError
	if errors.As(err, &answered) {
		p.ErrorCode, p.Status, p.RequestID = string(answered.Code), answered.StatusCode, answered.RequestID
	}
	return p
}

// report is the whole of it.
type report struct {
	Command     string `json:"command"`
	InstanceID  string `json:"instance_id,omitempty"`
	EnvID       string `json:"env_id,omitempty"`
	DryRun      bool   `json:"dry_run,omitempty"`
	Interrupted bool   `json:"interrupted,omitempty"`
	ExitCode    int    `json:"exit_code"`
	problem
	Results []result `json:"results"`
}

// reporter writes a report: results as they come, or all at the end. It may be
// used by several goroutines at once.
type reporter struct {
	mode     jsonMode
	out      *output
	progress *progress

	mu     sync.Mutex
	report report
}

// output is stdout, and stderr once stdout takes no more: what became of the
// APIs has to be written somewhere.
type output struct{ stdout, stderr io.Writer }

func (o *output) write(v any, indent string) {
	line, err := json.MarshalIndent(v, "", indent)
	if indent == "" {
		line, err = json.Marshal(v)
	}
	if err != nil { // of types that always marshal
		fmt.Fprintln(o.stderr, "the report cannot be written:", err)
		return
	}
	line = append(line, '\n')
	if _, err := o.stdout.Write(line); err != nil && o.stdout != o.stderr {
		fmt.Fprintln(o.stderr, "the report cannot be written to stdout, it goes on here:", err)
		o.stdout = o.stderr
		_, _ = o.stderr.Write(line) // and if that fails too, there is nowhere left to say so
	}
}

// set reports what became of one API.
func (r *reporter) set(i int, to result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to.Command = cmp.Or(to.Command, r.report.Command)
	to.InstanceID = cmp.Or(to.InstanceID, r.report.InstanceID)
	r.keep(i, to)
	r.progress.add(to)
}

// keep puts a result into the report. The caller holds r.mu, unless it is alone.
func (r *reporter) keep(i int, to result) {
	r.report.Results[i] = to
	if r.mode == jsonLines || r.mode == jsonJournal {
		r.out.write(to, "")
	}
}

// announce writes a line of a journal about a change that is not done.
func (r *reporter) announce(to result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to.Command, to.InstanceID = r.report.Command, r.report.InstanceID
	r.out.write(to, "")
}

// fail ends a report that has no results.
func (r *reporter) fail(code int, err error) int {
	r.report.problem = newProblem(err)
	r.report.Results = []result{}
	return r.end(code)
}

// end writes what has not been written yet.
func (r *reporter) end(code int) int {
	r.progress.end()
	r.report.ExitCode = code
	r.report.Interrupted = code == exitInterrupted || r.report.Interrupted
	switch {
	case r.mode == jsonObject:
		r.out.write(r.report, "  ")
	case r.report.Error != "": // a line for what has no line yet
		r.out.write(struct {
			Command  string `json:"command"`
			ExitCode int    `json:"exit_code"`
			problem
		}{r.report.Command, code, r.report.problem}, "")
	}
	if r.report.Error != "" {
		fmt.Fprintf(r.out.stderr, "apig %s: %s\n", r.report.Command, r.report.Error)
	}
	return code
}

// exitCode is the worst of the results: unknown is worse than not applied.
func (r *reporter) exitCode() int {
	code := exitDone
	for _, to := range r.report.Results {
		switch to.Outcome {
		case outcomeUnknown:
			return exitUnknown
		case outcomeNotApplied:
			code = exitNotApplied
		}
	}
	return code
}
