package apig

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

const (
	on  = StatusInEffect
	off = StatusNotInEffect
)

// The judgements below are about a call that began when our clock showed ourStart
// and the gateway's theirStart, and that read the history a second later.
var (
	ourStart   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	theirStart = time.Date(2020, 8, 3, 1, 36, 9, 0, time.UTC)
)

// was is a version that was published so long after the call began.
func was(id, remark string, after time.Duration, s Status) Version {
	return Version{ID: id, Remark: remark, PublishTime: theirStart.Add(after), Status: s, EnvID: EnvRelease}
}

// timeless is a version whose time cannot be read.
func timeless(id, remark string) Version {
	return Version{ID: id, Remark: remark, Status: on, EnvID: EnvRelease}
}

// others is n versions that are newer than the call and have another remark.
func others(n int) []Version {
	var all []Version
	for i := range n {
		all = append(all, was(fmt.Sprint("other", i), "other", time.Second, off))
	}
	return all
}

// scene is a history and what is asked of it.
type scene struct {
	versions  []Version
	took      time.Duration // by the read
	dated     time.Duration // when in that time the gateway read its clock
	noDate    bool
	tagged    bool
	contested bool
	before    []string      // reported before the call
	meanwhile []string      // reported in the very moment in which it began
	after     []string      // reported after it began, as what another publication has made
	switched  []string      // reported after it began, as what was switched to
	again     []string      // reported before, and switched to after it began
	rivals    []string      // reported since, by calls with the same remark
	changed   time.Duration // when this client has last reported a change; zero: never
	late      time.Duration // until when it may be applied, if it is settled later
	remark    string        // empty: 1.4.2
	versionID string
}

func (s scene) judge(judge func(*history, *inquiry) finding) finding {
	h := &history{versions: s.versions, asked: ourStart.Add(time.Second), arrived: ourStart.Add(time.Second + s.took)}
	if !s.noDate {
		h.date = theirStart.Add(time.Second + s.dated)
	}
	m := memory{envID: EnvRelease}
	// The call began a minute after the turns did.
	const began, earlier, since = time.Minute, time.Second, time.Minute + time.Millisecond
	for _, row := range []struct {
		ids  []string
		at   time.Duration
		made bool
	}{{s.before, earlier, true}, {s.meanwhile, began, true}, {s.after, since, true}, {s.switched, since, false}, {s.again, earlier, true}} {
		for _, id := range row.ids {
			m.versions = append(m.versions, reported{id, row.at, row.made, 0})
		}
	}
	switch {
	case s.after != nil || s.switched != nil || s.again != nil:
		m.changed = since
	case s.changed != 0:
		m.changed = began + s.changed
	}
	q := &inquiry{remark: "1.4.2", tagged: s.tagged, contested: s.contested, versionID: s.versionID, envID: EnvRelease,
		since: began, sent: h.at(ourStart), turn: &turn{past: past{memories: memories{m}}}}
	if s.remark != "" {
		q.remark = s.remark
	}
	if s.rivals != nil {
		q.rivals = &rivals{versions: s.rivals}
	}
	if s.late != 0 {
		q.until = h.at(ourStart.Add(s.late))
	}
	return judge(h, q)
}

type verdictRow struct {
	name string
	scene
	want Outcome
	id   string // of the version, if it was applied
	why  string
}

func judgeAll(t *testing.T, judge func(*history, *inquiry) finding, rows []verdictRow) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			found := r.judge(judge)
			assert.Equal(t, r.want.String(), found.outcome.String(), r.why)
			assert.Equal(t, found.outcome == Unknown, found.why != "", "the unknown has a reason, and nothing else")
			if r.id == "" {
				assert.Nil(t, found.version)
			} else if assert.NotNil(t, found.version) {
				assert.Equal(t, r.id, found.version.ID)
			}
		})
	}
}

func TestJudgePublish(t *testing.T) {
	const ours, ns, s = "1.4.2", time.Nanosecond, time.Second
	judgeAll(t, judgePublish, []verdictRow{
		{"nothing there", scene{}, NotApplied, "", "a complete list without it"},
		{"in effect", scene{versions: []Version{was("v", ours, 0, on)}}, Applied, "v", "as it should be"},
		{"later", scene{versions: []Version{was("v", ours, 100*s, on)}}, Applied, "v", "it may be applied late"},
		{"superseded", scene{versions: []Version{was("w", "x", s, on), was("v", ours, 0, off)}}, Applied, "v", "somebody published after it"},
		{"two seconds old", scene{versions: []Version{was("v", ours, -2*s, on)}}, Applied, "v", "whole seconds and two machines"},
		{"just more", scene{versions: []Version{was("v", ours, -2*s-ns, on)}}, Unknown, "", "it may be another's"},
		{"twelve seconds old", scene{versions: []Version{was("v", ours, -12*s, on)}}, Unknown, "", "clocks may differ that much"},
		{"just more than that", scene{versions: []Version{was("v", ours, -12*s-ns, on)}}, NotApplied, "", "too old to be ours"},
		{"outer spaces", scene{versions: []Version{was("v", " 1.4.2 ", 0, on)}}, Applied, "v", "the service may trim them"},
		{"outer spaces of ours", scene{versions: []Version{was("v", "1.4.2", 0, on)}, remark: "1.4.2\n"}, Applied, "v", "the same"},
		{"inner spaces", scene{versions: []Version{was("v", "1.4. 2", 0, on)}}, NotApplied, "", "another remark"},
		{"another case", scene{versions: []Version{was("v", "V", 0, on)}, remark: "v"}, NotApplied, "", "another remark"},
		{"no remark", scene{versions: []Version{was("v", "", 0, on)}}, NotApplied, "", "another remark"},

		{"reported before", scene{versions: []Version{was("v", ours, 0, on)}, before: []string{"v"}}, NotApplied, "", "it belongs to an earlier call"},
		{"reported after", scene{versions: []Version{was("v", ours, 0, on)}, after: []string{"v"}}, NotApplied, "", "it belongs to a later one"},
		{"reported in another case", scene{versions: []Version{was("AB", ours, 0, on)}, before: []string{"ab"}}, NotApplied, "", "IDs have no case"},
		{"switched to after", scene{versions: []Version{was("v", ours, 0, on)}, switched: []string{"v"}}, Applied, "v", "that does not say who has made it"},
		{"reported before, switched to after", scene{versions: []Version{was("v", ours, 0, on)}, again: []string{"v"}}, NotApplied, "", "it belongs to an earlier call"},
		{"of a rival", scene{versions: []Version{was("V", ours, 0, on)}, rivals: []string{"v"}}, NotApplied, "", "it belongs to the rival, however long ago that is forgotten"},
		{"beside that of a rival", scene{versions: []Version{was("w", ours, 0, on), was("v", ours, 0, off)}, rivals: []string{"w"}}, Applied, "v", "each call has its own"},
		{"beside a reported one", scene{versions: []Version{was("w", ours, s, on), was("v", ours, 0, off)}, before: []string{"w"}}, Applied, "v", "each call has its own"},

		{"of two, the one in effect", scene{versions: []Version{was("w", ours, s, off), was("v", ours, 0, on)}}, Applied, "v", "it is what the caller asks about"},
		{"the same, reversed", scene{versions: []Version{was("v", ours, 0, on), was("w", ours, s, off)}}, Applied, "v", "the order of the list says nothing"},
		{"of two, the later", scene{versions: []Version{was("v", ours, 0, off), was("w", ours, s, off)}}, Applied, "w", "it is nearer to being in effect"},
		{"the same, reversed", scene{versions: []Version{was("w", ours, s, off), was("v", ours, 0, off)}}, Applied, "w", "the order of the list says nothing"},
		{"beside a doubtful one", scene{versions: []Version{was("w", ours, -5*s, off), was("v", ours, 0, on)}}, Applied, "v", "one of them surely is"},

		{"nine newer ones", scene{versions: others(9)}, NotApplied, "", "there is room for it"},
		{"ten newer ones", scene{versions: others(10)}, Unknown, "", "it may have been displaced"},
		{"ten, one older", scene{versions: append(others(9), was("v", "x", -12*s-ns, off))}, NotApplied, "", "the oldest go first"},
		{"ten, one hardly older", scene{versions: append(others(9), was("v", "x", -12*s, off))}, Unknown, "", "it may be newer"},
		{"ten, one old of ours", scene{versions: append(others(9), was("v", ours, -13*s, off))}, NotApplied, "", "the oldest go first"},
		{"ten, one reported before", scene{versions: append(others(9), was("v", "x", 0, off)), before: []string{"v"}}, NotApplied, "", "it is older than the call"},
		{"ten, one reported after", scene{versions: append(others(9), was("v", "x", 0, off)), after: []string{"v"}}, Unknown, "", "ours may have gone before that"},
		{"ten, one reported then", scene{versions: append(others(9), was("v", "x", 0, off)), meanwhile: []string{"v"}}, Unknown, "", "nobody knows which was first"},
		{"ten, one of a rival", scene{versions: append(others(9), was("v", ours, 0, off)), rivals: []string{"v"}}, Unknown, "", "ours may have gone before that"},
		{"ten, one of them ours", scene{versions: append(others(9), was("v", ours, 0, off))}, Applied, "v", "the list need not be complete to have it"},

		{"no clock, nothing there", scene{noDate: true}, NotApplied, "", "no time is needed for that"},
		{"no clock, ours perhaps", scene{noDate: true, versions: []Version{was("v", ours, 0, on)}}, Unknown, "", "nobody knows how old it is"},
		{"no clock, of last year", scene{noDate: true, versions: []Version{was("v", ours, -365*24*time.Hour, on)}}, Unknown, "", "the same"},
		{"no clock, another remark", scene{noDate: true, versions: []Version{was("v", "x", 0, on)}}, NotApplied, "", "no time is needed for that"},
		{"no clock, reported", scene{noDate: true, versions: []Version{was("v", ours, 0, on)}, before: []string{"v"}}, NotApplied, "", "nor for that"},
		{"no clock, ten", scene{noDate: true, versions: append(others(9), was("v", "x", -999*s, off))}, Unknown, "", "none is surely older"},
		{"no clock, ten, one reported", scene{noDate: true, versions: others(10), before: []string{"other3"}}, NotApplied, "", "that one is"},
		{"a row without a time, ours", scene{versions: []Version{timeless("v", ours)}}, Unknown, "", "no clock"},
		{"a row without a time beside ours", scene{versions: []Version{was("v", ours, 0, on), timeless("w", "x")}}, Unknown, "", "no clock: a gateway that writes one time badly may write others wrong"},
		{"a row without a time, ten", scene{versions: append(others(8), was("v", "x", -13*s, off), timeless("w", "x"))}, Unknown, "", "no clock"},

		{"tagged", scene{tagged: true, versions: []Version{was("v", ours, 0, on)}}, Applied, "v", "nobody else has the tag"},
		{"tagged, no clock", scene{tagged: true, noDate: true, versions: []Version{was("v", ours, -9999*s, on)}}, Applied, "v", "the tag needs none"},
		{"tagged, without a time", scene{tagged: true, versions: []Version{timeless("v", ours)}}, Applied, "v", "the same"},
		{"tagged, another's", scene{tagged: true, versions: []Version{was("v", "x", 0, on)}}, NotApplied, "", "another tag"},
		{"tagged, displaced", scene{tagged: true, versions: others(10)}, Unknown, "", "a tag does not keep a version"},
		{"tagged, contested", scene{tagged: true, contested: true, versions: []Version{was("v", ours, 0, on)}}, Applied, "v", "tags cannot be contested"},

		{"contested", scene{contested: true, versions: []Version{was("v", ours, 0, on)}}, Unknown, "", "it may be of the other call"},
		{"contested, too old", scene{contested: true, versions: []Version{was("v", ours, -13*s, on)}}, NotApplied, "", "it is of neither"},
		{"contested, reported", scene{contested: true, versions: []Version{was("v", ours, 0, on)}, before: []string{"v"}}, NotApplied, "", "it has its call"},
		{"contested, nothing there", scene{contested: true}, NotApplied, "", "neither was applied"},

		{"slow read, clock read last", scene{took: 8 * s, dated: 8 * s, versions: []Version{was("v", ours, 6*s, on)}}, Applied, "v", "whenever the clock was read, it is new enough"},
		{"slow read, a little older", scene{took: 8 * s, dated: 8 * s, versions: []Version{was("v", ours, 6*s-ns, on)}}, Unknown, "", "had the clock been read first, it would be too old"},
		{"slow read, clock read first", scene{took: 8 * s, versions: []Version{was("v", ours, -2*s, on)}}, Applied, "v", "whenever the clock was read, it is new enough"},
		{"slow read, twenty seconds old", scene{took: 8 * s, versions: []Version{was("v", ours, -20*s, on)}}, Unknown, "", "had the clock been read last, it would be twelve"},
		{"slow read, just more", scene{took: 8 * s, versions: []Version{was("v", ours, -20*s-ns, on)}}, NotApplied, "", "too old, whenever the clock was read"},

		{"settled later, within", scene{late: 5 * s, versions: []Version{was("v", ours, 7*s, on)}}, Applied, "v", "in time, and two seconds"},
		{"settled later, just after", scene{late: 5 * s, versions: []Version{was("v", ours, 7*s+ns, on)}}, Unknown, "", "it may be of a later call"},
		{"settled later, seventeen seconds", scene{late: 5 * s, versions: []Version{was("v", ours, 17*s, on)}}, Unknown, "", "clocks may differ that much"},
		{"settled later, just more than that", scene{late: 5 * s, versions: []Version{was("v", ours, 17*s+ns, on)}}, NotApplied, "", "it surely is of a later call"},
		{"settled later, tagged", scene{late: 5 * s, tagged: true, versions: []Version{was("v", ours, time.Hour, on)}}, Applied, "v", "the tag needs no time"},
		{"settled later, contested", scene{late: 5 * s, contested: true, versions: []Version{was("v", ours, 0, on)}}, Unknown, "", "it may be of the rival"},
		{"settled later, no clock", scene{late: 5 * s, noDate: true, versions: []Version{was("v", ours, 0, on)}}, Unknown, "", "nobody knows when it was"},
	})
}

func TestJudgeOffline(t *testing.T) {
	const ns, s = time.Nanosecond, time.Second
	judgeAll(t, judgeOffline, []verdictRow{
		{"never published", scene{}, Applied, "", "it is offline"},
		{"nothing in effect", scene{versions: []Version{was("v", "", 0, off), was("w", "", -s, off)}}, Applied, "", "it is offline"},
		{"nothing in effect, no clock", scene{noDate: true, versions: []Version{was("v", "", 0, off)}}, Applied, "", "no time is needed for that"},
		{"more than twelve seconds old", scene{versions: []Version{was("v", "", -12*s-ns, on)}}, NotApplied, "", "it was in effect before the call"},
		{"twelve seconds old", scene{versions: []Version{was("v", "", -12*s, on)}}, Unknown, "", "clocks may differ that much"},
		{"of the same second", scene{versions: []Version{was("v", "", 0, on)}}, Unknown, "", "somebody may have published it since"},
		{"reported before", scene{versions: []Version{was("v", "", 0, on)}, before: []string{"v"}}, NotApplied, "", "it was in effect before the call"},
		{"reported before, no clock", scene{noDate: true, versions: []Version{was("v", "", 0, on)}, before: []string{"v"}}, NotApplied, "", "the same"},
		{"reported after", scene{versions: []Version{was("v", "", 0, on)}, after: []string{"v"}}, Unknown, "", "it came after the call"},
		{"switched to after", scene{versions: []Version{was("v", "", 0, on)}, again: []string{"v"}}, Unknown, "", "it came into effect again after the call"},
		{"another reported", scene{versions: []Version{was("w", "", 0, on), was("v", "", 0, off)}, before: []string{"v"}}, Unknown, "", "that is not in effect"},
		{"no clock", scene{noDate: true, versions: []Version{was("v", "", -time.Hour, on)}}, Unknown, "", "nobody knows how old it is"},
		{"without a time", scene{versions: []Version{timeless("v", "")}}, Unknown, "", "the same"},
		{"another without a time", scene{versions: []Version{was("v", "", -time.Hour, on), {ID: "w", Status: off}}}, Unknown, "", "no clock"},
		{"old, but changed since", scene{versions: []Version{was("v", "", -time.Hour, on)}, changed: s}, Unknown, "", "this client has switched to it after the call"},
		{"old, changed before", scene{versions: []Version{was("v", "", -time.Hour, on)}, changed: -s}, NotApplied, "", "that was before the call"},
		{"slow read", scene{took: 8 * s, versions: []Version{was("v", "", -20*s, on)}}, Unknown, "", "within the doubt of the read"},
	})
}

func TestJudgeSwitch(t *testing.T) {
	const ns, s = time.Nanosecond, time.Second
	to := func(current Version, change scene) scene {
		change.versions, change.versionID = []Version{current, was("to", "", -time.Hour, off)}, "to"
		return change
	}
	judgeAll(t, judgeSwitch, []verdictRow{
		{"in effect", scene{versionID: "to", versions: []Version{was("w", "", -s, off), was("to", "", -time.Hour, on)}}, Applied, "to", "as it should be"},
		{"in effect, in another case", scene{versionID: "TO", versions: []Version{was("to", "", -time.Hour, on)}}, Applied, "to", "IDs have no case"},
		{"in effect, no clock", scene{versionID: "to", noDate: true, versions: []Version{was("to", "", 0, on)}}, Applied, "to", "no time is needed for that"},
		{"an older one in effect", to(was("w", "", -12*s-ns, on), scene{}), NotApplied, "", "it was in effect before the call"},
		{"one twelve seconds old", to(was("w", "", -12*s, on), scene{}), Unknown, "", "somebody may have published it since"},
		{"a newer one", to(was("w", "", s, on), scene{}), Unknown, "", "somebody has published it since"},
		{"reported before", to(was("w", "", 0, on), scene{before: []string{"w"}}), NotApplied, "", "it was in effect before the call"},
		{"reported after", to(was("w", "", 0, on), scene{after: []string{"w"}}), Unknown, "", "it came after the call"},
		{"old, but changed since", to(was("w", "", -time.Hour, on), scene{changed: s}), Unknown, "", "this client has switched to it after the call"},
		{"no clock", to(was("w", "", -time.Hour, on), scene{noDate: true}), Unknown, "", "nobody knows how old it is"},
		{"nothing in effect", to(was("w", "", -time.Hour, off), scene{}), Unknown, "", "somebody has taken it offline"},
		{"displaced", scene{versionID: "to", versions: others(10)}, Unknown, "", "it cannot be switched to any more"},
		{"in effect elsewhere", scene{versionID: "to", versions: []Version{
			{ID: "else", EnvID: "other", Status: on, PublishTime: theirStart}, was("w", "", -time.Hour, on), was("to", "", -time.Hour, off)}},
			NotApplied, "", "another environment has its own"},
	})
}

func TestJudgeOfflineVersion(t *testing.T) {
	const s = time.Second
	judgeAll(t, judgeOfflineVersion, []verdictRow{
		{"in effect", scene{versionID: "v", versions: []Version{was("v", "", -time.Hour, on)}}, NotApplied, "", "it may be taken offline again"},
		{"in effect, in another case", scene{versionID: "V", versions: []Version{was("v", "", 0, on)}}, NotApplied, "", "IDs have no case"},
		{"in effect, no clock", scene{versionID: "v", noDate: true, versions: []Version{was("v", "", 0, on)}}, NotApplied, "", "no time is needed for that"},
		{"in effect, changed since", scene{versionID: "v", versions: []Version{was("v", "", 0, on)}, changed: s}, Unknown, "", "this client may have switched back to it"},
		{"not in effect", scene{versionID: "v", versions: []Version{was("v", "", 0, off)}}, Applied, "", "it is offline"},
		{"another one in effect", scene{versionID: "v", versions: []Version{was("w", "", 0, on), was("v", "", 0, off)}}, Applied, "", "it is offline"},
		{"displaced", scene{versionID: "v", versions: others(10)}, Unknown, "", "or it is of another API"},
		{"nowhere", scene{versionID: "v", versions: others(3)}, Unknown, "", "it is of another API, and may be in effect there"},
	})
}

// What cannot be told has a reason that a person can go on with.
func TestReasonsOfTheUnknown(t *testing.T) {
	for name, r := range map[string]struct {
		judge func(*history, *inquiry) finding
		scene
		want string
	}{
		"publish, doubtful":  {judgePublish, scene{versions: []Version{was("v", "1.4.2", -5*time.Second, on)}}, "the history has a version with the same remark that may be of this call or of another one"},
		"publish, displaced": {judgePublish, scene{versions: others(10)}, "the history has newer versions only, which may have displaced the one of this call"},
		"offline":            {judgeOffline, scene{versions: []Version{was("v", "", 0, on)}}, "a version is in effect that may have been published after this call began"},
		"switch, gone":       {judgeSwitch, scene{versionID: "v"}, "the history does not have the version any more"},
		"switch, offline":    {judgeSwitch, scene{versionID: "v", versions: []Version{was("v", "", 0, off)}}, "no version is in effect: somebody else has taken the API offline"},
		"switch, another": {judgeSwitch, scene{versionID: "v", versions: []Version{was("v", "", 0, off), was("w", "", 0, on)}},
			"a version is in effect that may have been published after this call began"},
		"offline version, gone": {judgeOfflineVersion, scene{versionID: "v"}, "the history does not have the version"},
		"offline version, changed": {judgeOfflineVersion, scene{versionID: "v", versions: []Version{was("v", "", 0, on)}, changed: time.Second},
			"this client may have changed the environment after this call"},
	} {
		assert.Equal(t, r.want, r.scene.judge(r.judge).why, name)
	}
}

// What the gateway's clock showed is known as well as the read was fast.
func TestClockOfTheGateway(t *testing.T) {
	const s = time.Second
	h := &history{asked: ourStart.Add(s), arrived: ourStart.Add(4 * s), date: theirStart}
	assert.Equal(t, span{theirStart.Add(-4 * s), theirStart.Add(-s)}, h.at(ourStart))
	assert.Equal(t, span{theirStart.Add(-3 * s), theirStart}, h.at(ourStart.Add(s)))
	assert.Equal(t, span{theirStart.Add(s), theirStart.Add(4 * s)}, h.at(ourStart.Add(5*s)), "a time to come")

	unknown := *h
	unknown.date = time.Time{}
	assert.False(t, unknown.at(ourStart).known(), "no Date")
	unknown = *h
	unknown.versions = []Version{was("v", "", 0, on), timeless("w", "")}
	assert.False(t, unknown.at(ourStart).known(), "a row without a time")
}

// A suspended machine stops the monotonic clock, and a set clock moves the other:
// the time between is at least the one and at most the other.
func TestElapsedByTwoClocks(t *testing.T) {
	const s, h = time.Second, time.Hour
	from := time.Now()
	for name, r := range map[string]struct {
		to          time.Time
		least, most time.Duration
	}{
		"as usual":                {from.Add(s), s, s},
		"without the monotonic":   {from.Add(s).Round(0), s, s},
		"suspended for an hour":   {wallAhead(from.Add(s), h), s, s + h},
		"set back by an hour":     {wallAhead(from.Add(s), -h), s - h, s},
		"both at the same moment": {from, 0, 0},
	} {
		least, most := elapsed(from, r.to)
		assert.Equal(t, []time.Duration{r.least, r.most}, []time.Duration{least, most}, name)
	}
	read := &history{asked: wallAhead(from.Add(s), h), arrived: wallAhead(from.Add(s), h), date: theirStart}
	assert.Equal(t, span{theirStart.Add(-s - h), theirStart.Add(-s)}, read.at(from), "what was published while it slept is doubtful")
}

// wallAhead is a time whose wall clock was set, or went on while the monotonic one
// stood still. Package time offers no other way to make one.
func wallAhead(t time.Time, d time.Duration) time.Time {
	t = t.Add(d)
	monotonic := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&t))
	monotonic.ext -= int64(d)
	return t
}

// An environment remembers the twenty versions that were reported last.
func TestReportedVersions(t *testing.T) {
	own := &turn{}
	own.in("e").applied(reported{"first", time.Second, true, 0})
	for i := range 20 - 1 {
		own.in("E").applied(reported{fmt.Sprint("v", i), 2 * time.Second, true, 0})
	}
	own.in("f").applied(reported{"w", 3 * time.Second, false, 0})
	own.in("f").applied(reported{"w", 4 * time.Second, false, 0})
	own.in("f").applied(reported{"", 4 * time.Second, false, 0}) // nothing is in effect any more
	known := func(id string) bool { return own.reported(id) != nil }
	assert.True(t, known("first"))
	own.in("e").applied(reported{"FIRST", 4 * time.Second, false, 0}) // it moves to the end, and displaces nothing
	assert.True(t, known("v0"))
	assert.Equal(t, reported{"FIRST", time.Second, true, 0}, *own.reported("first"), "and it is remembered what it was before")
	own.in("e").applied(reported{"new", 5 * time.Second, true, 0})
	assert.False(t, known("v0"))
	assert.True(t, known("first"))
	assert.Equal(t, reported{"w", 3 * time.Second, false, 0}, *own.reported("w"), "of another environment")
	assert.False(t, known(""))
	assert.Len(t, own.in("e").versions, 20)
}

// A change counts for its environment, or for any where its own is not known. What
// has only been asked for is none, not even for a call from before all memory.
func TestChangedAfter(t *testing.T) {
	const at = time.Second
	var all memories
	all.in("e").applied(reported{"", at, false, 0})
	assert.True(t, all.changedAfter("E", at-1))
	assert.True(t, all.changedAfter("", at-1))
	assert.False(t, all.changedAfter("f", at-1))
	assert.False(t, all.changedAfter("e", at), "not after itself")
	all.in("").applied(reported{"", 2 * at, false, 0})
	assert.True(t, all.changedAfter("f", at))
	var none memories
	none.in("e")
	assert.False(t, none.changedAfter("e", -time.Hour))
}
