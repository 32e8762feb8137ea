package gateway

import (
	"net/http"
	"slices"
	"time"
)

// publication is what the gateway keeps of one API in one environment.
type publication struct {
	id       string // the publish_id, which outlives the versions
	api      *api
	env      *environment
	seq      int        // journal number of the last change
	time     time.Time  // of the last publish or switch
	versions []*version // newest first
	current  *version   // in effect; nil when offline
	past     []state    // what histories that lag may still show
}

type version struct {
	*publication
	id     string
	seq    int // journal number of its publish
	time   time.Time
	remark string
}

// An environment keeps this many versions of an API, and drops the oldest.
const keptVersions = 10

// publication finds what is known of an API in an environment; nil if it was
// never published there.
func (i *Instance) publication(apiID, envID string) (*publication, error) {
	a, err := i.api(apiID)
	if err != nil {
		return nil, err
	}
	if _, err := i.environment(envID); err != nil {
		return nil, err
	}
	return a.publications[envID], nil
}

// online publishes: every time a new version, whether the API is published
// already or not.
func (i *Instance) online(apiID, envID, remark string, by *Request) (*version, error) {
	p, err := i.publication(apiID, envID)
	if err != nil {
		return nil, err
	}
	if p == nil {
		p = &publication{id: i.gw.resourceIDs.next(), api: i.apisByID[apiID], env: i.envsByID[envID]}
		p.api.publications[envID] = p
	}
	v := &version{publication: p, id: i.gw.resourceIDs.next(), remark: i.gw.knobs.kept(remark)}
	p.versions = slices.Insert(p.versions, 0, v)
	if len(p.versions) > keptVersions {
		delete(i.versions, p.versions[keptVersions].id)
		p.versions = p.versions[:keptVersions]
	}
	i.versions[v.id] = v
	p.current = v
	v.seq, v.time = i.applied(ActionOnline, v, remark, by)
	p.seq, p.time = v.seq, v.time
	return v, nil
}

// offline takes the API out of an environment and returns the publication as
// it is now. Which error an API gets that is not published is not documented;
// this is the one whose text fits.
func (i *Instance) offline(apiID, envID, remark string, by *Request) (*publication, error) {
	p, err := i.publication(apiID, envID)
	if err != nil {
		return nil, err
	}
	if p == nil || p.current == nil {
		return nil, notPublished(apiID)
	}
	v := p.current
	p.current = nil
	p.seq, _ = i.applied(ActionOffline, v, remark, by)
	return p, nil
}

func notPublished(apiID string) error {
	return refuse(http.StatusNotFound, "APIG.3015", "The API publication record does not exist,id:%s", apiID)
}

// version finds a kept version.
func (i *Instance) version(id string) (*version, error) {
	if v := i.versions[id]; v != nil {
		return v, nil
	}
	return nil, noVersion(id)
}

func noVersion(id string) error {
	return refuse(http.StatusNotFound, "APIG.3022", "The API version does not exist,id:%s", id)
}

// switchTo brings a kept version of the API back into effect.
func (i *Instance) switchTo(apiID, versionID string, by *Request) (*version, error) {
	if _, err := i.api(apiID); err != nil {
		return nil, err
	}
	v, err := i.version(versionID)
	if err != nil {
		return nil, err
	}
	if v.api.id != apiID {
		return nil, noVersion(versionID)
	}
	v.current = v
	v.publication.seq, v.publication.time = i.applied(ActionSwitch, v, v.remark, by)
	return v, nil
}

// offlineVersion takes a version down, which must be the one in effect.
func (i *Instance) offlineVersion(versionID string, by *Request) error {
	v, err := i.version(versionID)
	if err != nil {
		return err
	}
	if v.current != v {
		return noVersion(versionID)
	}
	v.current = nil
	v.publication.seq, _ = i.applied(ActionOfflineVersion, v, "", by)
	return nil
}

// history is the versions of an API in the environments that keep accepts, newest
// first, as they were lag ago.
func (a *api) history(lag time.Duration, keep func(*environment) bool) []versionRow {
	var all []*version
	current := make(map[*version]bool)
	for _, p := range a.publications {
		if keep(p.env) {
			s := p.shown(lag)
			all = append(all, s.versions...)
			current[s.current] = true
		}
	}
	slices.SortFunc(all, func(v, w *version) int { return w.seq - v.seq })
	rows := make([]versionRow, len(all))
	for n, v := range all {
		rows[n] = v.row(current[v])
	}
	return rows
}

// Version is a version of an API in an environment. A new one comes into being
// each time the API is published there.
type Version struct {
	ID        string
	Number    string // the time of the publish, in digits at +08:00
	PublishID string // the same for all versions of the API in the environment
	APIID     string
	EnvID     string
	Remark    string
	Time      time.Time
	InEffect  bool
}

// Action is a kind of change.
type Action string

// The kinds of changes.
const (
	ActionOnline         Action = "online"          // an API was published
	ActionOffline        Action = "offline"         // it was taken offline
	ActionSwitch         Action = "switch"          // another version of it was put into effect
	ActionOfflineVersion Action = "offline-version" // the version in effect was taken offline
)

// Applied is a change that the gateway has made.
type Applied struct {
	Seq        int // 1 for the first
	Time       time.Time
	Action     Action
	InstanceID string
	APIID      string
	EnvID      string
	Remark     string
	VersionID  string   // published, switched to, or taken offline
	Request    *Request // nil: made by the test itself
}

// applied journals a change of v.
func (i *Instance) applied(action Action, v *version, remark string, by *Request) (seq int, at time.Time) {
	seq, at = len(i.gw.journal)+1, i.gw.clock.now()
	i.gw.journal = append(i.gw.journal, Applied{
		Seq:        seq,
		Time:       at,
		Action:     action,
		InstanceID: i.instanceID,
		APIID:      v.api.id,
		EnvID:      v.env.id,
		Remark:     remark,
		VersionID:  v.id,
		Request:    by,
	})
	v.publication.remember(time.Now(), i.gw.knobs.historyLag)
	return seq, at
}

// Journal returns every change of every instance, in the order in which they
// were made. Nothing is ever dropped from it, unlike from the history, but by
// Reset.
func (g *Gateway) Journal() []Applied { return g.JournalSince(0) }

// JournalSince returns the changes with a Seq above that. Whoever looks often
// copies only what is new.
func (g *Gateway) JournalSince(seq int) []Applied {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.journal[min(max(seq, 0), len(g.journal)):])
}

// The digits of version_no are those of the clock in China.
var china = time.FixedZone("UTC+8", 8*60*60)

func (v *version) number() string { return v.time.In(china).Format("20060102150405") }

func (v *version) export() Version {
	return Version{
		ID:        v.id,
		Number:    v.number(),
		PublishID: v.publication.id,
		APIID:     v.api.id,
		EnvID:     v.env.id,
		Remark:    v.remark,
		Time:      v.time,
		InEffect:  v.current == v,
	}
}

// Published returns the version in effect, if the API is published in the
// environment.
func (i *Instance) Published(apiID, envID string) (Version, bool) {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	p, _ := i.publication(apiID, envID)
	if p == nil || p.current == nil {
		return Version{}, false
	}
	return p.current.export(), true
}

// History returns the versions that the gateway keeps, at most ten, newest
// first.
func (i *Instance) History(apiID, envID string) []Version {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	p, _ := i.publication(apiID, envID)
	if p == nil {
		return nil
	}
	kept := make([]Version, len(p.versions))
	for n, v := range p.versions {
		kept[n] = v.export()
	}
	return kept
}

// Publish publishes an API without a request, as somebody else might do. The text of an error begins with the code of the service.
func (i *Instance) Publish(apiID, envID, remark string) (Version, error) {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	v, err := i.online(apiID, envID, remark, nil)
	if err != nil {
		return Version{}, err
	}
	return v.export(), nil
}

// Offline takes an API offline without a request, as somebody else might do.
func (i *Instance) Offline(apiID, envID string) error {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	_, err := i.offline(apiID, envID, "", nil)
	return err
}
