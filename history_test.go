package apig

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// What a history proves about a lost request, rule by rule. The request is sent at
// second 100 of the gateway's clock, which agrees with ours, and the history is
// answered at second 102.
func TestJudges(t *testing.T) {
	const ours, theirs = "0123456789", "fedcba9876"
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	v := func(id string, second int, tag string, current bool) Version {
		version := Version{ID: id, EnvID: EnvRelease, PublishTime: at(second), Tag: tag, Status: 2}
		if current {
			version.Status = inEffect
		}
		return version
	}
	without := func(v Version) Version { v.PublishTime = time.Time{}; return v }
	raw := func(v Version, remark string) Version { v.Remark, v.Tag = splitTag(remark); return v }
	ten := func(second int, tag string) (all []Version) {
		for n := range keptVersions {
			all = append(all, v(fmt.Sprint("v", n), second, tag, n == 0))
		}
		return all
	}
	old := v("old", 10, theirs, true)
	for name, r := range map[string]struct {
		judge    func(*history, *item) (Outcome, *Version, string)
		versions []Version
		seen     []string
		noDate   bool
		foreign  bool
		change   change
		want     Outcome
		id       string
	}{
		"publish, nothing there":              {judge: judgePublish, want: NotApplied},
		"publish, ours":                       {judge: judgePublish, versions: []Version{old, v("new", 101, ours, true)}, want: Applied, id: "new"},
		"publish, ours and not in effect":     {judge: judgePublish, versions: []Version{v("new", 101, ours, false), v("x", 102, theirs, true)}, want: Applied, id: "new"},
		"publish, ours without a time":        {judge: judgePublish, versions: []Version{without(v("new", 101, ours, true))}, want: Applied, id: "new"},
		"publish, ours in capitals":           {judge: judgePublish, versions: []Version{raw(v("new", 101, "", true), "1.4.2 APIG:0123456789.")}, want: Applied, id: "new"},
		"publish, ours without its colon":     {judge: judgePublish, versions: []Version{raw(v("new", 101, "", true), "1.4.2 apig0123456789")}, want: Applied, id: "new"},
		"publish, ours with an escaped colon": {judge: judgePublish, versions: []Version{raw(v("new", 101, "", true), "a&#10;b apig&#58;0123456789")}, want: Applied, id: "new"},
		"publish, ours only mentioned":        {judge: judgePublish, versions: []Version{raw(v("new", 101, "", true), "after apig:0123456789 came this")}, want: Unknown},
		"publish, ours cut off":               {judge: judgePublish, versions: []Version{raw(v("new", 101, "", true), "1.4.2 apig:01234")}, want: Unknown},
		"publish, an old one":                 {judge: judgePublish, versions: []Version{old}, want: NotApplied},
		"publish, theirs":                     {judge: judgePublish, versions: []Version{old, v("new", 101, theirs, true)}, want: NotApplied},
		"publish, a new one without a tag":    {judge: judgePublish, versions: []Version{old, v("new", 101, "", true)}, want: Unknown},
		"publish, an old one without a tag":   {judge: judgePublish, versions: []Version{v("old", 95, "", true)}, want: NotApplied},
		"publish, not surely old":             {judge: judgePublish, versions: []Version{v("old", 97, "", true)}, want: Unknown},
		"publish, not surely old, but seen":   {judge: judgePublish, versions: []Version{v("old", 97, "", true)}, seen: []string{"OLD"}, want: NotApplied},
		"publish, without a time":             {judge: judgePublish, versions: []Version{without(v("old", 1, "", true))}, want: Unknown},
		"publish, without a date":             {judge: judgePublish, versions: []Version{v("old", 1, "", true)}, noDate: true, want: Unknown},
		"publish, another machine's clock":    {judge: judgePublish, versions: []Version{v("old", 40, "", true)}, foreign: true, want: Unknown},
		"publish, ten new ones":               {judge: judgePublish, versions: ten(101, theirs), want: Unknown},
		"publish, nine new ones":              {judge: judgePublish, versions: ten(101, theirs)[:9], want: NotApplied},
		"publish, ten with an old one":        {judge: judgePublish, versions: append(ten(101, theirs)[:9], v("old", 90, "", false)), want: NotApplied},
		"publish, ten with one seen":          {judge: judgePublish, versions: ten(101, theirs), seen: []string{"v9"}, want: NotApplied},

		"offline, no rows":                  {judge: judgeOffline, want: Unknown},
		"offline, none in effect":           {judge: judgeOffline, versions: []Version{v("a", 10, "", false)}, want: Applied},
		"offline, an old one":               {judge: judgeOffline, versions: []Version{old}, want: NotApplied},
		"offline, a new one":                {judge: judgeOffline, versions: []Version{v("new", 99, "", true)}, want: Unknown},
		"offline, a new one that was seen":  {judge: judgeOffline, versions: []Version{v("new", 99, "", true)}, seen: []string{"new"}, want: NotApplied},
		"offline, an old one, not newest":   {judge: judgeOffline, versions: []Version{old, v("b", 20, "", false)}, want: Unknown},
		"offline, in the same second":       {judge: judgeOffline, versions: []Version{old, v("b", 10, "", false)}, want: Unknown},
		"offline, beside one without time":  {judge: judgeOffline, versions: []Version{old, without(v("b", 1, "", false))}, want: Unknown},
		"offline, ours was seen, not a new": {judge: judgeOffline, versions: []Version{v("new", 101, "", true), v("old", 10, "", false)}, seen: []string{"old"}, want: Unknown},

		"switch, the target":             {judge: judgeSwitch, versions: []Version{v("a", 10, "", true), v("b", 20, "", false)}, change: change{versionID: "A"}, want: Applied, id: "a"},
		"switch, not applied":            {judge: judgeSwitch, versions: []Version{v("a", 10, "", false), v("b", 20, "", true)}, change: change{versionID: "a"}, want: NotApplied},
		"switch, the target is gone":     {judge: judgeSwitch, versions: []Version{v("b", 20, "", true)}, change: change{versionID: "a"}, want: Unknown},
		"switch, offline":                {judge: judgeSwitch, versions: []Version{v("a", 10, "", false)}, change: change{versionID: "a"}, want: Unknown},
		"switch, published since":        {judge: judgeSwitch, versions: []Version{v("a", 10, "", false), v("b", 101, "", true)}, change: change{versionID: "a"}, want: Unknown},
		"switch, not the newest":         {judge: judgeSwitch, versions: []Version{v("a", 10, "", false), v("b", 20, "", true), v("c", 30, "", false)}, change: change{versionID: "a"}, want: Unknown},
		"rollback, not applied":          {judge: judgeSwitch, versions: []Version{v("a", 10, "", false), v("b", 101, "", true)}, change: change{versionID: "a", replaces: "B"}, want: NotApplied},
		"rollback, another one in place": {judge: judgeSwitch, versions: []Version{v("a", 10, "", false), v("b", 20, "", false), v("c", 30, "", true)}, change: change{versionID: "a", replaces: "b"}, want: Unknown},

		"offline of a version, in effect": {judge: judgeOfflineVersion, versions: []Version{v("a", 101, "", true)}, change: change{versionID: "a"}, want: NotApplied},
		"offline of a version, offline":   {judge: judgeOfflineVersion, versions: []Version{v("a", 101, "", false)}, change: change{versionID: "a"}, want: Applied},
		"offline of a version, not there": {judge: judgeOfflineVersion, versions: []Version{old}, change: change{versionID: "a"}, want: Unknown},
	} {
		r.change.tag = ours
		h := &history{versions: r.versions, arrived: at(102), date: at(102)}
		if r.noDate {
			h.date = time.Time{}
		}
		is, got, why := r.judge(h, &item{change: &r.change, state: open, seen: r.seen, failed: &failure{start: at(100), foreign: r.foreign}})
		assert.Equal(t, r.want.String(), is.String(), name)
		assert.Equal(t, r.want == Unknown, why != "", name)
		if r.id != "" && assert.NotNil(t, got, name) {
			assert.Equal(t, r.id, got.ID, name)
		}
	}
}

// The longer of the two clocks counts, and a time that runs backwards proves nothing.
func TestPredatesByTwoClocks(t *testing.T) {
	sent := time.Now()
	date := sent.Add(time.Hour)
	v := &Version{PublishTime: date.Add(-20 * time.Second)}
	for name, r := range map[string]struct {
		arrived time.Time
		want    bool
	}{
		"both agree":           {sent.Add(10 * time.Second), true},
		"just not":             {sent.Add(16 * time.Second), false},
		"the wall clock only":  {sent.Round(0).Add(10 * time.Second), true},
		"it is behind":         {sent.Round(0).Add(-time.Second), false},
		"it has jumped ahead":  {sent.Round(0).Add(time.Minute), false},
		"both, after a minute": {sent.Add(time.Minute), false},
	} {
		h := &history{arrived: r.arrived, date: date}
		assert.Equal(t, r.want, h.predates(v, &item{state: open, failed: &failure{start: sent}}), name)
		assert.False(t, h.predates(v, &item{state: ready, failed: &failure{start: sent}}), "nothing is in doubt")
	}
}
