package main

import (
	"bufio"
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

// The service accepts batchSize APIs in one request. batchParallel of those requests are
// in progress at once.
const (
	batchSize     = 1000
	batchParallel = 4
)

func (p *program) publishCommand() *cobra.Command {
	var o options
	c := p.changeCommand(&o, &cobra.Command{
		Use:   "publish [API...] [flags]",
		Short: "Publish APIs in an environment",
		Long: `Publishes APIs in an environment, as they are defined now, and reports each.
An API is a name, GROUP/NAME, or an ID. After a lost answer the command looks
for the publication in the gateway's history; it publishes nothing twice.

With --idempotency-key a job that was killed is simply run again: APIs that an
earlier run with the same key has published are not published again. Two runs
with one key must not run at once. After a kill only -o jsonl leaves a report.`,
		Example: `  apig publish orders users -e staging -m 1.4.2 -k "$CI_PIPELINE_ID"
  apig publish -f apis.txt -e staging -o jsonl > r.jsonl || apig settle r.jsonl
  apig publish -f r.jsonl                     # the APIs that were not applied
  apig publish -g shop -e staging --dry-run`,
	}, "name or ID of the `environment` (default RELEASE, or the environment of the report)")
	o.defineBatch(c)
	c.Flags().StringVarP(&o.key, "idempotency-key", "k", "", "publish once per `key`, also across runs: a commit, or the ID of a pipeline's run")
	c.Flags().BoolVar(&o.disableTags, "disable-tags", false, "send the remark exactly as given; a publication whose answer is lost is then often unknown")
	return c
}

func (p *program) offlineCommand() *cobra.Command {
	var o options
	c := p.changeCommand(&o, &cobra.Command{
		Use:   "offline [API...] -e ENV [flags]",
		Short: "Take APIs offline in an environment",
		Long: `Takes APIs offline in an environment and reports each. An API is a name,
GROUP/NAME, or an ID. On a terminal the command asks first, or requires --yes.`,
		Example: `  apig offline orders -e staging
  apig offline -g shop -e staging --batch --if-published --yes`,
	}, "name or ID of the `environment`; required, unless --file is a report")
	o.defineBatch(c)
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&o.ifPublished, "if-published", false, "count an API that is offline already as done")
	return c
}

func (p *program) rollbackCommand() *cobra.Command {
	var o options
	c := p.changeCommand(&o, &cobra.Command{
		Use:   "rollback [API...] -e ENV [flags]",
		Short: "Put an earlier version into effect again",
		Long: `Puts the version into effect again that was published before the current one,
or the version of --version-id. --dry-run shows both; "apig versions" lists all.
On a terminal the command asks first, or requires --yes.`,
		Example: `  apig rollback orders -e staging --dry-run
  apig rollback orders -e staging
  apig rollback orders --version-id ee1a5a38d3d3493abf1dc4ed6cacfa0b`,
	}, "name or ID of the `environment`; required without --version-id")
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.Flags().StringVar(&o.versionID, "version-id", "", "`ID` of the version; it belongs to one API and one environment")
	complete(c, "version-id")
	return c
}

// changeCommand completes a command that changes something.
func (p *program) changeCommand(o *options, c *cobra.Command, env string) *cobra.Command {
	c.Args = o.someAPIs
	o.define(c, "", defaultTimeout, formTable, formJSON, formLines, formName)
	o.defineAPIs(p, c, "its APIs that were not applied", env)
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would change, and change nothing")
	o.maxAttempts = 4
	numberFlag(c, &o.maxAttempts, 100, "max-attempts", "", "`number` of times that a request is sent at most; 1 never retries (default 4)")
	return p.command(c, o, changeExits, (*session).change)
}

// defineBatch defines the flags that publish and offline share.
func (o *options) defineBatch(c *cobra.Command) {
	c.Flags().StringVarP(&o.remark, "remark", "m", "", "`text` that the history shows with the change")
	c.Flags().BoolVar(&o.batch, "batch", false, "send up to a thousand APIs in one request; --parallel has no effect")
	timeFlag(c, &o.busyTimeout, "busy-timeout", "`time` to wait while the gateway says \"not now\" (default 6m0s)")
}

// change makes the change for each API. If some are not found, or in a dry run, it sends
// nothing.
func (s *session) change() error {
	targets, err := s.lookUp()
	if err != nil {
		return s.fail(err)
	}
	s.begins(len(targets), func(i int) api { return targets[i].api })
	what := fmt.Sprintf("%s %s %s", s.report.Command, plural(len(targets), "API"), s.report.where())
	if s.versionID != "" {
		what += " to version " + s.versionID
	}
	if s.dryRun && !s.quiet {
		s.say("dry run: %s", what)
	}
	switch {
	case s.dryRun || slices.ContainsFunc(targets, func(t target) bool { return t.err != nil }):
		s.forEach(targets, 1, s.parallel, s.plan)
	case len(targets) > 0 && !s.agreed(what, targets):
		err = errors.New("not confirmed; nothing has changed")
		s.progress.silent, s.progress.quiet = true, false
		s.forEach(targets, len(targets), 1, func(all []target) []result { return notSent(all, err) })
	case s.batch:
		s.forEach(targets, batchSize, batchParallel, s.sendBatch)
	default:
		s.forEach(targets, 1, s.parallel, s.sendOne)
	}
	return s.end(s.exitCode(), err)
}

// lookUp finds the environment and the APIs. A report as input brings its environment, key
// and remark, and goes with no other ones.
func (s *session) lookUp() ([]target, error) {
	s.report.DryRun, s.report.Key, s.report.Remark = s.dryRun, s.key, s.remark
	if s.report.Command != "publish" && s.seen && !s.asks && !s.yes && !s.dryRun {
		return nil, mistakef("nothing has changed: stdin is no terminal on which to ask first; add --yes")
	}
	if s.versionID != "" && (len(s.names) != 1 || s.env != "" || s.file != "" || s.group != "") {
		return nil, mistakef("--version-id says in which environment: name one API, without --env, --file and --group")
	}
	was, err := s.readFile(false)
	if err != nil {
		return nil, err
	}
	env := s.env
	switch {
	case was == nil:
	case was.Command != s.report.Command:
		return nil, mistakef("%s is a report of \"apig %s\"", s.file, was.Command)
	case !strings.EqualFold(was.InstanceID, s.cfg.InstanceID):
		return nil, mistakef("%s is a report of the gateway %s; APIG_INSTANCE_ID is %s", s.file, was.InstanceID, s.cfg.InstanceID)
	case was.EnvID == "":
		return nil, mistakef("%s does not say in which environment", s.file)
	case was.Key != "" && s.key != "" && was.Key != s.key:
		return nil, mistakef("%s has the idempotency key %s, and --idempotency-key is %s", s.file, was.Key, s.key)
	case was.Remark != "" && s.remark != "" && was.Remark != s.remark:
		return nil, mistakef("%s has the remark %s, and --remark is %s", s.file, was.Remark, s.remark)
	default:
		env, s.key, s.remark = cmp.Or(env, was.EnvID), cmp.Or(s.key, was.Key), cmp.Or(s.remark, was.Remark)
		s.report.Key, s.report.Remark = s.key, s.remark
	}
	if env == "" && s.report.Command == "publish" {
		env = "RELEASE"
	}
	if s.versionID == "" { // which says in which environment
		if env == "" {
			return nil, mistakef("--env is required: %s has no default environment", s.report.Command)
		}
		found, err := s.environment(env)
		if err != nil {
			return nil, err
		}
		if was != nil && !strings.EqualFold(found.ID, was.EnvID) {
			return nil, mistakef("%s is a report of the environment %s, and --env is %s", s.file, cmp.Or(was.EnvName, was.EnvID), found.Name)
		}
		s.report.EnvID, s.report.EnvName = found.ID, found.Name
	}
	return s.find()
}

// forEach makes the results of all targets, size of them at a time. When the context
// ends, or the credentials are refused, nothing more is sent: five refused signatures
// would lock a key.
func (s *session) forEach(targets []target, size, workers int, do func([]target) []result) {
	var refused atomic.Pointer[error]
	chunks := slices.Collect(slices.Chunk(targets, size))
	s.progress.start(len(targets))
	inParallel(workers, len(chunks), func(n int) {
		var results []result
		switch why := refused.Load(); {
		case s.ctx.Err() != nil:
			results = notSent(chunks[n], context.Cause(s.ctx))
		case why != nil:
			results = notSent(chunks[n], fmt.Errorf("the credentials were refused: %w", *why))
		default:
			results = do(chunks[n])
		}
		for i, to := range results {
			if errors.Is(to.cause, apig.ErrUnauthorized) {
				refused.CompareAndSwap(nil, &to.cause)
			}
			s.set(n*size+i, to, true)
		}
	})
}

// plan says what the change would do to an API, or why nothing is sent.
func (s *session) plan(targets []target) []result {
	t := targets[0]
	to := result{api: t.api, Outcome: outcomePlanned}
	err := t.err
	if err == nil && !s.dryRun {
		return notSent(targets, errors.New("other APIs were not found"))
	}
	if err == nil {
		err = s.foresee(&to)
	}
	if err != nil {
		to.fail(err)
	}
	return []result{to}
}

// foresee finds out what the change would replace, and what a rollback would go back to,
// as the client chooses it.
func (s *session) foresee(to *result) error {
	all, err := s.versions(to.APIID, s.report.EnvID)
	if err != nil {
		return err
	}
	if s.versionID != "" {
		i := slices.IndexFunc(all, func(v shownVersion) bool { return strings.EqualFold(v.VersionID, s.versionID) })
		if i < 0 {
			return fmt.Errorf("the gateway holds no version %s of this API", s.versionID)
		}
		to.Target = &all[i]
		all = slices.DeleteFunc(slices.Clone(all), func(v shownVersion) bool { return v.EnvID != to.Target.EnvID })
	}
	i := slices.IndexFunc(all, func(v shownVersion) bool { return v.InEffect })
	if i >= 0 {
		to.InEffect = &all[i]
	}
	switch {
	case s.report.Command == "publish", s.versionID != "", i < 0 && s.ifPublished:
		return nil
	case i < 0:
		return errors.New("it is not published there")
	case s.report.Command == "offline":
		return nil
	case i == len(all)-1:
		return errors.New("the gateway holds no version before the one in effect")
	}
	to.Target = &all[i+1]
	return nil
}

// sendOne makes the change for one API.
func (s *session) sendOne(targets []target) []result {
	id, env := targets[0].APIID, s.report.EnvID
	var record *apig.PublishRecord
	var err error
	switch {
	case s.report.Command == "publish":
		record, err = s.client.Publish(s.ctx, apig.PublishRequest{APIID: id, EnvID: env, Remark: s.remark, IdempotencyKey: s.key})
	case s.report.Command == "offline":
		record, err = s.client.Offline(s.ctx, apig.OfflineRequest{APIID: id, EnvID: env, Remark: s.remark})
	case s.versionID != "":
		record, err = s.client.SwitchVersion(s.ctx, id, s.versionID)
	default:
		record, err = s.client.Rollback(s.ctx, id, env)
	}
	return []result{s.result(targets[0], record, err)}
}

// sendBatch makes the change for many APIs in one request.
func (s *session) sendBatch(targets []target) []result {
	ids := make([]string, len(targets))
	for i, t := range targets {
		ids[i] = t.APIID
	}
	var done *apig.BatchResult
	var err error
	if s.report.Command == "publish" {
		done, err = s.client.PublishBatch(s.ctx, apig.PublishBatchRequest{APIIDs: ids, EnvID: s.report.EnvID, Remark: s.remark, IdempotencyKey: s.key})
	} else {
		done, err = s.client.OfflineBatch(s.ctx, apig.OfflineBatchRequest{APIIDs: ids, EnvID: s.report.EnvID, Remark: s.remark})
	}
	if done == nil {
		return notSent(targets, err)
	}
	results := make([]result, len(targets))
	for i, item := range done.Items {
		results[i] = s.result(targets[i], item.Record, item.Err)
	}
	return results
}

// result is what a record or an error of the client means.
func (s *session) result(t target, record *apig.PublishRecord, err error) result {
	to := result{api: t.api}
	switch {
	case err == nil:
		to.succeed(record)
	case s.ifPublished && errors.Is(err, apig.ErrNotPublished) && apig.OutcomeOf(err) == apig.NotApplied:
		to.Outcome, to.AlreadyOffline, to.RequestID = outcomeApplied, true, newProblem(err).RequestID
	default:
		to.fail(err)
	}
	return to
}

// notSent are the results of APIs for which nothing was sent.
func notSent(targets []target, why error) []result {
	results := make([]result, len(targets))
	for i, t := range targets {
		results[i] = result{api: t.api, notSent: true}
		results[i].fail(fmt.Errorf("not sent: %w", why))
	}
	return results
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

// agreed says what is about to happen. Before a change that takes something out of
// effect it asks, unless that was ruled out or nobody is there to answer.
func (s *session) agreed(what string, targets []target) bool {
	if s.report.Command == "publish" || s.yes || !s.asks {
		if !s.quiet {
			s.say("%s", what)
		}
		return true
	}
	var names []string
	for _, t := range targets[:min(len(targets), 5)] {
		names = append(names, t.label())
	}
	if more := len(targets) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	s.say("%s: %s. Type yes to go on:", what, strings.Join(names, ", "))
	answer := make(chan string, 1)
	go func() { // which ends with the program if it is interrupted
		line, _ := bufio.NewReader(s.stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-s.ctx.Done():
		return false
	case said := <-answer:
		return said == "y" || said == "yes"
	}
}
