package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/apig-go/apig"
)

// The outcomes of one API.
const (
	outcomeApplied    = "applied"
	outcomeNotApplied = "not_applied"
	outcomeUnknown    = "unknown"
	outcomePlanned    = "planned" // a dry run
)

// report is the whole report. With -o json it is one object. With -o jsonl the
// first line has the command and all APIs that it is about, each following line
// has one result, and the closing line has the exit code.
type report struct {
	Command     string `json:"command,omitempty"`
	InstanceID  string `json:"instance_id,omitempty"`
	EnvID       string `json:"env_id,omitempty"`
	EnvName     string `json:"env_name,omitempty"`
	Key         string `json:"idempotency_key,omitempty"`
	Remark      string `json:"remark,omitempty"`
	DryRun      bool   `json:"dry_run,omitempty"`
	Asked       []api  `json:"asked,omitempty"`
	Interrupted bool   `json:"interrupted,omitempty"`
	ExitCode    *int   `json:"exit_code,omitempty"` // nil: the report is not whole
	problem
	Results []result `json:"results,omitzero"`
}

// where names the environment and the gateway for people.
func (r *report) where() string {
	if r.EnvID == "" {
		return "on gateway " + r.InstanceID
	}
	return "in " + cmp.Or(r.EnvName, r.EnvID) + " on gateway " + r.InstanceID
}

// api names an API of a report.
type api struct {
	API     string `json:"api"` // as it was asked for
	APIID   string `json:"api_id,omitempty"`
	APIName string `json:"api_name,omitempty"`
	Group   string `json:"group,omitempty"`
}

// label names the API for people, with its group if that is known.
func (a api) label() string {
	switch {
	case a.APIName == "":
		return a.API
	case a.Group == "":
		return a.APIName
	}
	return a.Group + "/" + a.APIName
}

// result is the outcome of one API.
type result struct {
	api
	Outcome string `json:"outcome"`
	problem
	Recovered      bool                `json:"recovered,omitempty"`       // the answer was lost; the change was found in the history
	Replayed       bool                `json:"replayed,omitempty"`        // an earlier run with the same idempotency key has published it
	AlreadyOffline bool                `json:"already_offline,omitempty"` // with --if-published
	InEffect       *shownVersion       `json:"in_effect,omitempty"`       // before the change; only in a dry run
	Target         *shownVersion       `json:"target,omitempty"`          // what a rollback would go back to; only in a dry run
	Record         *apig.PublishRecord `json:"record,omitempty"`
	Unknown        *apig.UnknownError  `json:"unknown,omitempty"` // what settle needs

	notSent bool
	cause   error // of the outcome; nil if it is read from a report
}

// problem is why something failed. RequestID belongs to the answer, also of a
// success.
type problem struct {
	Error     string `json:"error,omitempty"`
	ErrorCode string `json:"error_code,omitempty"`
	Status    int    `json:"status,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

func newProblem(err error) problem {
	p := problem{Error: message(err)}
	var answered *apig.APIGError
	if errors.As(err, &answered) {
		p.ErrorCode, p.Status, p.RequestID = string(answered.Code), answered.StatusCode, answered.RequestID
	}
	return p
}

// fail gives the result the meaning of an error of the client.
func (to *result) fail(err error) {
	to.Outcome, to.problem, to.Unknown, to.cause = outcomeNotApplied, newProblem(err), nil, err
	if errors.As(err, &to.Unknown) || apig.OutcomeOf(err) == apig.Unknown {
		to.Outcome = outcomeUnknown
	}
}

func (to *result) succeed(record *apig.PublishRecord) {
	to.Outcome, to.Record, to.problem, to.Unknown = outcomeApplied, record, problem{RequestID: record.RequestID}, nil
	to.Recovered, to.Replayed = record.Recovered, record.Replayed
	to.APIName = cmp.Or(record.APIName, to.APIName)
}

// attention is how much a result needs attention.
func (to *result) attention() int {
	switch {
	case to.Outcome == outcomeUnknown:
		return 3
	case to.Outcome != outcomeNotApplied:
		return 0
	case to.notSent:
		return 1
	}
	return 2
}

// note is what people want to know beside the outcome.
func (to *result) note() string {
	switch {
	case to.Error != "":
		return to.Error
	case to.Recovered:
		return "the answer was lost; the change was found in the history"
	case to.Replayed:
		return "published by an earlier run with this key"
	case to.AlreadyOffline:
		return "it was offline already"
	case to.Outcome != outcomePlanned:
		return ""
	}
	note := "nothing is in effect"
	if to.InEffect != nil {
		note = fmt.Sprintf("in effect: %s", to.InEffect)
	}
	if to.Target != nil {
		note += fmt.Sprintf("; would go back in %s to %s", cmp.Or(to.Target.EnvName, to.Target.EnvID), to.Target)
	}
	return note
}

// begins begins the results. As the first line of a report names every API, a report
// that was cut off does not look whole.
func (s *session) begins(n int, apiAt func(int) api) {
	s.report.Results = make([]result, n)
	if s.form == formLines {
		first := s.report
		first.Asked, first.Results, first.problem = make([]api, n), nil, problem{}
		for i := range n {
			first.Asked[i] = apiAt(i)
		}
		s.writeJSON(first, "")
	}
}

// set puts a result into the report. A new one counts for the progress.
func (s *session) set(i int, to result, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Results[i] = to
	if s.form == formLines {
		s.writeJSON(to, "")
	}
	if isNew {
		s.progress.add(to)
	}
}

// fail ends a command that has found out nothing but an error.
func (s *session) fail(err error) error {
	code := exitCodeOf(s.outer, err)
	s.report.problem = newProblem(err)
	s.report.Results = []result{}
	s.report.Interrupted = code == exitInterrupted
	return s.end(code, err)
}

// end writes what has not been written yet, and returns the end of the command. People
// see the end of a long table: there is what needs attention.
func (s *session) end(code int, err error) error {
	s.progress.clear()
	defer s.progress.end()
	s.report.ExitCode = &code
	whole := s.report
	if s.form == formLines {
		whole.Results = nil // each is written already
	}
	var names []string
	rows := [][]string{{"OUTCOME", "API", "ID", "NOTE"}}
	results := slices.Clone(s.report.Results)
	if s.form == formTable {
		slices.SortStableFunc(results, func(a, b result) int { return cmp.Compare(a.attention(), b.attention()) })
	}
	for _, to := range results {
		rows = append(rows, []string{strings.ReplaceAll(to.Outcome, "_", " "), to.label(), to.APIID, to.note()})
		if to.Outcome == outcomeApplied || to.Outcome == outcomePlanned {
			names = append(names, to.label())
		}
	}
	s.write(whole, names, rows)
	if code == exitUnknown {
		s.adviseUnknown()
	}
	return ended(code, err)
}

// adviseUnknown says how to go on after an unknown outcome. Where the report itself
// was not asked for, it goes into a file.
func (s *session) adviseUnknown() {
	if advice := s.report.missing(); advice != "" {
		s.say("%s", advice)
	}
	n := 0
	for _, to := range s.report.Results {
		if to.Outcome == outcomeUnknown && to.Unknown != nil {
			n++
		}
	}
	switch {
	case n == 0:
		return
	case s.form == formJSON || s.form == formLines:
		s.say("%d unknown: save this report in a FILE and run \"apig settle FILE\"", n)
		return
	}
	text := encode(s.report, "  ")
	f, err := os.CreateTemp(".", "apig-report-*.json")
	if err == nil {
		_, err = f.Write(text)
		err = cmp.Or(err, f.Close())
	}
	if err != nil {
		s.say("the report cannot be saved (%s); it follows:", err)
		_, _ = s.stderr.Write(text)
		return
	}
	s.say("%d unknown: run \"apig settle %s\"", n, f.Name())
}

// missing says what to do about the APIs that a report says nothing of: "apig settle"
// cannot look for them. It is empty if there are none.
func (r *report) missing() string {
	n := 0
	for _, to := range r.Results {
		if to.Outcome == outcomeUnknown && to.Unknown == nil {
			n++
		}
	}
	env := cmp.Or(r.EnvName, r.EnvID)
	if env != "" {
		env = " -e " + env
	}
	do := fmt.Sprintf(`see "apig status%s", and run "apig %s" for the APIs that have not changed`, env, r.Command)
	switch {
	case n == 0:
		return ""
	case r.Key != "":
		do = fmt.Sprintf("run the same command again with --idempotency-key %q; it publishes nothing twice", r.Key)
	case r.Command == "offline":
		do = "run the same command again with --if-published"
	}
	return fmt.Sprintf("the report does not say what became of %s: %s", plural(n, "API"), do)
}

// exitCode is the exit code of the results. Unknown is worse than an interruption,
// that than refused credentials, and those than any other failure.
func (s *session) exitCode() (code int) {
	interrupted := s.outer.Err() != nil
	defer func() { s.report.Interrupted = interrupted && code != exitDone }()
	var applied, failed, mistakes, refused int
	for _, to := range s.report.Results {
		switch {
		case to.Outcome == outcomeUnknown:
			return exitUnknown
		case to.Outcome != outcomeNotApplied:
			applied++
			continue
		case errors.Is(to.cause, apig.ErrUnauthorized):
			refused++
		case errors.Is(to.cause, apig.ErrInvalidArgument): // such as a remark that is too long
			mistakes++
		}
		failed++
	}
	switch {
	case failed == 0:
		return exitDone
	case mistakes == failed && applied == 0:
		return exitUsage
	case interrupted && applied == 0:
		return exitInterrupted
	case refused > 0:
		return exitAuthentication
	}
	return exitNotApplied
}

// readReport reads a report of an earlier run, in any form.
func readReport(text []byte) (report, error) {
	var was report
	var why error
	decoder := json.NewDecoder(bytes.NewReader(text))
	for why == nil {
		var text json.RawMessage
		if why = decoder.Decode(&text); why == nil {
			why = was.add(text)
		}
	}
	switch {
	case errors.Is(why, io.EOF), errors.Is(why, io.ErrUnexpectedEOF):
		was.complete()
		return was, nil
	}
	return report{}, mistakef("this is not a report: %w", why)
}

// add takes the next line of a report, or an object that is a whole one.
func (r *report) add(text json.RawMessage) error {
	var to result
	if err := json.Unmarshal(text, &to); err != nil {
		return err
	}
	if to.Outcome != "" {
		r.Results = append(r.Results, to)
		return nil
	}
	var line report
	switch err := json.Unmarshal(text, &line); {
	case err != nil:
		return err
	case line.Command == "":
		return errors.New("it names no command")
	case r.ExitCode != nil, r.Command != "" && line.ExitCode == nil:
		return errors.New("there are two reports in it")
	case line.Results == nil:
		line.Results = r.Results
	}
	line.Asked = append(r.Asked, line.Asked...)
	*r = line
	return nil
}

// complete adds a result for each API that has none. A report without its closing
// line was cut off: the command was killed, or what wrote the report was.
func (r *report) complete() {
	known, open := map[string]bool{}, r.Error != ""
	for i := range r.Results {
		to := &r.Results[i]
		if !slices.Contains([]string{outcomeApplied, outcomeNotApplied, outcomePlanned}, to.Outcome) {
			to.Outcome, open = outcomeUnknown, true // or a word of another version
		}
		known[to.APIID+"\n"+to.API] = true
	}
	if r.ExitCode != nil && (*r.ExitCode != exitUnknown || open) {
		return
	}
	r.ExitCode = nil // if it is a 2, the results that are to explain it are missing
	for _, a := range r.Asked {
		if !known[a.APIID+"\n"+a.API] {
			r.Results = append(r.Results, result{api: a, Outcome: outcomeUnknown, problem: problem{
				Error: "the report ends before this API; the change may have been made",
			}})
		}
	}
}

// shownVersion is a version as reports and lists show it.
type shownVersion struct {
	VersionID   string    `json:"version_id"`
	Number      string    `json:"version_no,omitempty"`
	EnvID       string    `json:"env_id"`
	EnvName     string    `json:"env_name,omitempty"`
	InEffect    bool      `json:"in_effect"`
	PublishTime time.Time `json:"publish_time,omitzero"`
	Remark      string    `json:"remark,omitempty"`
	Tag         string    `json:"tag,omitempty"`
}

// String names the version by its remark, ID and age.
func (v *shownVersion) String() string {
	s := v.VersionID
	if v.Remark != "" {
		s = v.Remark + " (" + v.VersionID + ")"
	}
	return s + ", published " + cmp.Or(age(v.PublishTime), "?") + " ago"
}
