package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/apig-go/apig"
)

var publishCommand = &command{
	name:     "publish",
	summary:  "publish APIs in an environment",
	synopsis: "(-api NAME... | -file FILE | -group GROUP) [flags]",
	about: `Publishes APIs in an environment, as they are defined now, and reports each. A lost
answer is looked for in the gateway's history; nothing is published twice.
`,
	examples: `  apig publish -api orders -env staging -remark 1.4.2
  apig publish -api orders,users -api 5f918d104dc84480a75166ba99efff21
  git diff --name-only HEAD~1 -- apis | xargs -n1 basename | apig publish -file - -env staging
  apig publish -file apis.txt -parallel 32 -json=lines > report.jsonl || apig settle report.jsonl
  apig publish -group shop -batch -dry-run
`,
	exits: changeExits,
	run: func(p program, ctx context.Context, c *command, args []string) int {
		return p.publish(ctx, c, args, false)
	},
}

var offlineCommand = &command{
	name:     "offline",
	summary:  "take APIs offline in an environment",
	synopsis: "(-api NAME... | -file FILE | -group GROUP) [flags]",
	about: `Takes APIs offline in an environment, and reports each.
`,
	examples: `  apig offline -api orders -env staging
  apig offline -group shop -env staging -batch -idempotent
`,
	exits: changeExits,
	run: func(p program, ctx context.Context, c *command, args []string) int {
		return p.publish(ctx, c, args, true)
	},
}

// publishOptions are what the flags of publish and offline say.
type publishOptions struct {
	common
	selection
	env        string
	remark     string
	batch      bool
	parallel   int
	dryRun     bool
	tag        bool
	idempotent bool
}

func (o *publishOptions) define(fs *flag.FlagSet, offline bool) {
	o.common.define(fs, 10*time.Minute)
	o.selection.define(fs)
	fs.StringVar(&o.env, "env", "RELEASE", "name or ID of the `environment`")
	fs.StringVar(&o.remark, "remark", "", "what to say about this publication")
	fs.BoolVar(&o.batch, "batch", false, "send a thousand APIs in one request")
	fs.IntVar(&o.parallel, "parallel", 4, "how many requests may be under way at once, up to 256; not with -batch")
	fs.BoolVar(&o.dryRun, "dry-run", false, "look everything up, IDs too, and change nothing")
	o.json.defineReport(fs)
	if offline {
		fs.BoolVar(&o.idempotent, "idempotent", false, "count an API that is offline already as done")
	} else {
		fs.BoolVar(&o.tag, "tag", true, "add a short tag to the remark, by which a publication is recognised if its answer is lost")
	}
}

func (o *publishOptions) check() error {
	return errors.Join(o.common.check(), o.selection.required(), checkParallel(o.parallel), checkRemark(o.remark, o.tag))
}

// checkRemark refuses what the client would refuse for every API: the service
// takes 255 characters, of which a tag needs 12.
func checkRemark(remark string, tag bool) error {
	most := 255
	if tag {
		most -= 12
	}
	if !utf8.ValidString(remark) {
		return errors.New("-remark is not valid UTF-8")
	}
	if n := utf8.RuneCountInString(remark); n > most {
		return fmt.Errorf("-remark has %d characters, at most %d are allowed", n, most)
	}
	return nil
}

func checkParallel(n int) error {
	if n < 1 || n > maxParallel {
		return fmt.Errorf("-parallel %d is not between 1 and %d", n, maxParallel)
	}
	return nil
}

func (p program) publish(ctx context.Context, c *command, args []string, offline bool) int {
	var o publishOptions
	fs := newFlags(c)
	o.define(fs, offline)
	if err := p.parse(c, fs, args, 0); err != nil {
		return p.usage(c, err)
	}
	if err := o.check(); err != nil {
		return p.usage(c, err)
	}
	s, code := p.open(ctx, c.name, o.common, o.tag)
	if s == nil {
		return code
	}
	defer s.cancel()
	s.reporter.report.DryRun = o.dryRun

	envID, targets, err := s.lookUp(o.selection, o.env, p, o.dryRun)
	if err != nil {
		return s.failLookUp(err)
	}
	if missing(targets) || o.dryRun {
		return s.leave(envID, targets)
	}
	act := &change{
		op: "Publish", client: s.client, sent: s.sent, reporter: s.reporter, tagged: o.tag,
		parallel: o.parallel, size: 1, do: s.one(envID, o.remark, offline),
	}
	if offline {
		act.op = "Offline"
		if o.idempotent {
			act.forgive = apig.ErrNotPublished
		}
	}
	if o.batch {
		act.parallel, act.size, act.do = batchParallel, batchSize, s.many(envID, o.remark, offline)
	}
	act.run(s.ctx, envID, targets)
	return s.reporter.end(act.exitCode(ctx))
}

// one makes the change for each API on its own.
func (s *session) one(envID, remark string, offline bool) func(context.Context, []target) []apig.BatchItem {
	call := s.client.Publish
	if offline {
		call = s.client.Offline
	}
	return each(func(ctx context.Context, t target) (*apig.PublishRecord, error) {
		return call(ctx, apig.ActionRequest{APIID: t.id, EnvID: envID, Remark: remark})
	})
}

// each makes an item for every target.
func each(call func(context.Context, target) (*apig.PublishRecord, error)) func(context.Context, []target) []apig.BatchItem {
	return func(ctx context.Context, targets []target) []apig.BatchItem {
		items := make([]apig.BatchItem, len(targets))
		for i, t := range targets {
			items[i].Record, items[i].Err = call(ctx, t)
		}
		return items
	}
}

// many makes the change for all APIs in one request.
func (s *session) many(envID, remark string, offline bool) func(context.Context, []target) []apig.BatchItem {
	call := s.client.PublishBatch
	if offline {
		call = s.client.OfflineBatch
	}
	return func(ctx context.Context, targets []target) []apig.BatchItem {
		ids := make([]string, len(targets))
		for i, t := range targets {
			ids[i] = t.id
		}
		done, err := call(ctx, apig.BatchRequest{APIIDs: ids, EnvID: envID, Remark: remark})
		if done == nil { // the request was invalid
			return notSent(targets, err)
		}
		return done.Items
	}
}
