package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/apig-go/apig"
)

// defaultTimeout is how long a command may take.
const defaultTimeout = 10 * time.Minute

func (p *program) publishCommand() *cobra.Command {
	var o publishFlags
	c := &cobra.Command{
		Use:   "publish [API...] [flags]",
		Short: "Publish APIs in an environment",
		Long: `Publishes APIs in an environment, as they are defined now, and reports each.
An API is a name, GROUP/NAME, or an ID. After a lost answer the command looks
for the publication in the gateway's history; it publishes nothing twice.

With --idempotency-key a job that was killed is simply run again: APIs that an
earlier run with the same key has published are not published again.`,
		Example: `  apig publish orders users -e staging -m 1.4.2 -k "$CI_PIPELINE_ID"
  apig publish -f apis.txt -e staging -o jsonl > r.jsonl || apig settle r.jsonl
  apig publish -f r.jsonl                     # the APIs that were not applied
  apig publish -g shop -e staging --dry-run`,
		Annotations: map[string]string{"exits": changeExits},
		RunE:        func(c *cobra.Command, args []string) error { return p.publish(c, &o, args) },
	}
	o.define(p, c, "name or ID of the `environment` (default RELEASE, or the environment of the report)")
	fs := c.Flags()
	fs.StringVarP(&o.key, "idempotency-key", "k", "", "publish once per `key`, also across runs: a commit, or the ID of a pipeline's run")
	fs.BoolVar(&o.client.disableTags, "disable-tags", false, "send the remark exactly as given; a publication whose answer is lost is then often unknown")
	return c
}

func (p *program) offlineCommand() *cobra.Command {
	o := publishFlags{what: publication{offline: true}}
	c := &cobra.Command{
		Use:   "offline [API...] -e ENV [flags]",
		Short: "Take APIs offline in an environment",
		Long: `Takes APIs offline in an environment and reports each. An API is a name,
GROUP/NAME, or an ID. On a terminal the command asks first.`,
		Example: `  apig offline orders -e staging
  apig offline -g shop -e staging --batch --if-published --yes`,
		Annotations: map[string]string{"exits": changeExits},
		RunE:        func(c *cobra.Command, args []string) error { return p.publish(c, &o, args) },
	}
	o.define(p, c, "name or ID of the `environment`; required, unless --file is a report")
	fs := c.Flags()
	fs.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	fs.BoolVar(&o.ifPublished, "if-published", false, "count an API that is offline already as done")
	return c
}

// publishFlags are what the flags of publish and offline say.
type publishFlags struct {
	changeFlags
	what        publication
	batch       bool
	ifPublished bool
}

func (o *publishFlags) define(p *program, c *cobra.Command, env string) {
	o.changeFlags.define(p, c, env)
	fs := c.Flags()
	fs.StringVarP(&o.what.remark, "remark", "m", "", "remark of the change, which the history shows")
	fs.BoolVar(&o.batch, "batch", false, "send up to a thousand APIs in one request; --parallel has no effect")
	fs.Var((*duration)(&o.client.busyTimeout), "busy-timeout", "how long to wait while the gateway says \"not now\"")
	fs.Lookup("busy-timeout").DefValue = "6m0s" // of the client
}

func (p *program) publish(c *cobra.Command, o *publishFlags, names []string) error {
	s, targets, err := p.openChange(c, &o.changeFlags, names)
	if s == nil {
		return err
	}
	defer s.cancel()
	o.what.envID, o.what.key = s.report.EnvID, o.key
	act := &change{session: s, parallel: o.parallel.n, size: 1, do: each(o.what.one(s.client))}
	if o.batch {
		act.parallel, act.size, act.do = batchParallel, batchSize, o.what.batch(s.client)
	}
	if o.what.offline {
		if o.ifPublished {
			act.forgive = apig.ErrNotPublished
		}
		if err := s.confirm(o.yes, "Take offline", targets); err != nil {
			return err
		}
	} else if !o.quiet {
		p.say("publish %s %s", plural(len(targets), "API"), s.report.where())
	}
	return act.run(targets)
}

// batch makes the change for many APIs in one request.
func (w publication) batch(client *apig.Client) func(context.Context, []target) []apig.BatchItem {
	return func(ctx context.Context, targets []target) []apig.BatchItem {
		ids := make([]string, len(targets))
		for i, t := range targets {
			ids[i] = t.id
		}
		done, err := w.many(ctx, client, ids)
		if done == nil {
			return failed(targets, err)
		}
		return done.Items
	}
}
