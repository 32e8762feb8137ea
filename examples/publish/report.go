package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/apig-go/apig"
)

// The outcomes of one API.
const (
	done       = "done"
	notApplied = "not applied"
	unknown    = "unknown"
	planned    = "planned" // a dry run
)

// report is what goes to stdout.
type report struct {
	Action  string   `json:"action"`
	EnvID   string   `json:"env_id"`
	DryRun  bool     `json:"dry_run,omitempty"`
	Results []result `json:"results"`
}

type result struct {
	target
	Outcome   string              `json:"outcome"`
	Record    *apig.PublishRecord `json:"record,omitempty"`
	Recovered bool                `json:"recovered,omitempty"` // the answer was lost, and found in the history
	Error     string              `json:"error,omitempty"`
	RequestID string              `json:"request_id,omitempty"`
}

func newReport(o options, envID string, targets []target) *report {
	r := &report{Action: "online", EnvID: envID, DryRun: o.dryRun, Results: []result{}}
	if o.offline {
		r.Action = "offline"
	}
	for _, t := range targets {
		r.Results = append(r.Results, result{target: t, Outcome: planned})
	}
	return r
}

// set fills in one result and writes a line about it.
func (r *report) set(progress io.Writer, i int, record *apig.PublishRecord, err error) {
	to := &r.Results[i]
	var apiErr *apig.APIGError
	switch {
	case err == nil:
		to.Outcome, to.Record = done, record
		to.Recovered, to.RequestID = record.Recovered, record.RequestID
	case errors.Is(err, apig.ErrOutcomeUnknown): // before anything else, since it wraps the cause
		to.Outcome, to.Error = unknown, err.Error()
	default:
		to.Outcome, to.Error = notApplied, err.Error()
	}
	if errors.As(err, &apiErr) {
		to.RequestID = apiErr.RequestID
	}
	fmt.Fprintf(progress, "%d/%d %s %s: %s\n", i+1, len(r.Results), r.Action, to.Name, to.Outcome)
	if err != nil {
		fmt.Fprintln(progress, "  ", err)
	}
}

func (r *report) write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// exitCode is the worst of the results: unknown is worse than not applied.
func (r *report) exitCode() int {
	code := exitDone
	for _, to := range r.Results {
		switch to.Outcome {
		case unknown:
			return exitUnknown
		case notApplied:
			code = exitNotApplied
		}
	}
	return code
}
