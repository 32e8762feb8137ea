package main

import (
	"context"
	"errors"
	"time"

	"github.com/apig-go/apig"
)

var rollbackCommand = &command{
	name:     "rollback",
	summary:  "put an earlier version into effect again",
	synopsis: "(-api NAME... | -file FILE | -group GROUP) [flags]",
	about: `Puts the version that was in effect before the current one into effect again, or the
one that -version-id names. "apig versions" lists them.
`,
	examples: `  apig rollback -api orders -env staging
  apig rollback -api orders -version-id ee1a5a38d3d3493abf1dc4ed6cacfa0b
`,
	exits: changeExits,
	run:   program.rollback,
}

func (p program) rollback(ctx context.Context, c *command, args []string) int {
	var (
		o         common
		sel       selection
		env       string
		versionID string
		parallel  int
	)
	fs := newFlags(c)
	o.define(fs, 10*time.Minute)
	sel.define(fs)
	fs.StringVar(&env, "env", "RELEASE", "name or ID of the `environment`")
	fs.StringVar(&versionID, "version-id", "", "`ID` of the version to put into effect; its environment is used, -env is not")
	fs.IntVar(&parallel, "parallel", 4, "how many APIs may be under way at once, up to 256")
	o.json.defineReport(fs)
	if err := p.parse(c, fs, args, 0); err != nil {
		return p.usage(c, err)
	}
	if err := errors.Join(o.check(), sel.required(), checkParallel(parallel), oneVersion(versionID, sel)); err != nil {
		return p.usage(c, err)
	}
	s, code := p.open(ctx, c.name, o, false)
	if s == nil {
		return code
	}
	defer s.cancel()
	envID, targets, err := s.lookUp(sel, env, p, false)
	if err != nil {
		return s.failLookUp(err)
	}
	if missing(targets) {
		return s.leave(envID, targets)
	}
	act := &change{
		op: "Rollback", client: s.client, sent: s.sent, reporter: s.reporter, parallel: parallel, size: 1,
		do: each(func(ctx context.Context, t target) (*apig.PublishRecord, error) {
			return s.client.Rollback(ctx, t.id, envID)
		}),
	}
	if versionID != "" {
		act.op, envID, s.reporter.report.EnvID = "SwitchVersion", "", ""
		act.do = each(func(ctx context.Context, t target) (*apig.PublishRecord, error) {
			return s.client.SwitchVersion(ctx, t.id, versionID)
		})
	}
	act.run(s.ctx, envID, targets)
	return s.reporter.end(act.exitCode(ctx))
}

// oneVersion refuses a version for several APIs, since it belongs to one.
func oneVersion(versionID string, sel selection) error {
	if versionID != "" && (len(sel.apis) != 1 || sel.file != "" || sel.group != "") {
		return errors.New("-version-id needs exactly one -api")
	}
	return nil
}
