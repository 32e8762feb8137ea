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
	past     []state    // the present state, and those that histories may still show
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

// inEffect finds the version in effect. Which error is given for an API that is not
// published is not documented; this is the one whose text fits.
func (i *Instance) inEffect(apiID, envID string) (*version, error) {
	p, err := i.publication(apiID, envID)
	if err != nil {
		return nil, err
	}
	if p == nil || p.current == nil {
		return nil, refuse(http.StatusNotFound, "APIG.3015", "The API publication record does not exist,id:%s", apiID)
	}
	return p.current, nil
}

// online publishes: every time a new version, whether the API is published
// already or not.
func (i *Instance) online(apiID, envID, remark string, by *Request) (*version, error) {
	a, err := i.api(apiID)
	if err != nil {
		return nil, err
	}
	e, err := i.environment(envID)
	if err != nil {
		return nil, err
	}
	p := a.publications[envID]
	if p == nil {
		p = &publication{id: i.gw.resourceIDs.next(), api: a, env: e}
		a.publications[envID] = p
	}
	v := &version{publication: p, id: i.gw.resourceIDs.next(), remark: remark}
	if i.gw.alter != nil {
		v.remark = i.gw.alter(remark)
	}
	p.versions = slices.Insert(p.versions, 0, v)
	if len(p.versions) > keptVersions {
		delete(i.versions, p.versions[keptVersions].id)
		p.versions = p.versions[:keptVersions]
	}
	i.versions[v.id] = v
	i.apply(ActionOnline, v, remark, by)
	v.seq, v.time = p.seq, p.time
	return v, nil
}

// offline takes the API out of an environment and returns the version that was in effect.
func (i *Instance) offline(apiID, envID, remark string, by *Request) (*version, error) {
	v, err := i.inEffect(apiID, envID)
	if err != nil {
		return nil, err
	}
	i.apply(ActionOffline, v, remark, by)
	return v, nil
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

// Applied is a change that the gateway has made. The JSON is the one of the control
// address.
type Applied struct {
	Seq        int       `json:"seq"` // 1 for the first
	Time       time.Time `json:"time"`
	Action     Action    `json:"op"`
	InstanceID string    `json:"instance_id"`
	APIID      string    `json:"api_id"`
	EnvID      string    `json:"env_id"`
	Remark     string    `json:"remark"`
	VersionID  string    `json:"version_id"` // published, switched to, or taken offline
	Request    *Request  `json:"-"`          // nil: made by the test itself
}

// apply puts v into effect, or out of effect, and journals that.
func (i *Instance) apply(action Action, v *version, remark string, by *Request) {
	p, now := v.publication, i.gw.clock.now()
	if action == ActionOnline || action == ActionSwitch {
		p.current, p.time = v, now
	} else {
		p.current = nil
	}
	p.seq = len(i.gw.journal) + 1
	i.gw.journal = append(i.gw.journal, Applied{
		Seq:        p.seq,
		Time:       now,
		Action:     action,
		InstanceID: i.instanceID,
		APIID:      v.api.id,
		EnvID:      v.env.ID,
		Remark:     remark,
		VersionID:  v.id,
		Request:    by,
	})
	p.remember(i.gw.lag)
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
		EnvID:     v.env.ID,
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
	v, err := i.inEffect(apiID, envID)
	if err != nil {
		return Version{}, false
	}
	return v.export(), true
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

// Publish publishes an API without a request, as somebody else might do. The text of an
// error begins with the code of the service.
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
