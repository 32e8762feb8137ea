package apigtest

import (
	"slices"
	"time"
)

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

// Applied is a change that the gateway has made.
type Applied struct {
	Seq        int // 1 for the first
	Time       time.Time
	Op         string // "online", "offline", "switch" or "offline-version"
	InstanceID string
	APIID      string
	EnvID      string
	Remark     string
	VersionID  string   // published, switched to, or taken offline
	Request    *Request // nil: made by the test itself
}

// applied journals a change of v.
func (i *Instance) applied(op string, v *version, remark string, by *Request) (seq int, at time.Time) {
	seq, at = len(i.gw.journal)+1, i.gw.clock.now()
	i.gw.journal = append(i.gw.journal, Applied{
		Seq:        seq,
		Time:       at,
		Op:         op,
		InstanceID: i.instanceID,
		APIID:      v.api.id,
		EnvID:      v.env.id,
		Remark:     remark,
		VersionID:  v.id,
		Request:    by,
	})
	return seq, at
}

// Journal returns every change of every instance, in the order in which they
// were made. Nothing is ever dropped from it, unlike from the history.
func (g *Gateway) Journal() []Applied {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.journal)
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

// Publish publishes an API as if somebody else had done it meanwhile, without
// a request. The text of an error begins with the code of the service.
func (i *Instance) Publish(apiID, envID, remark string) (Version, error) {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	v, err := i.online(apiID, envID, remark, nil)
	if err != nil {
		return Version{}, err
	}
	return v.export(), nil
}

// Offline takes an API offline as if somebody else had done it meanwhile.
func (i *Instance) Offline(apiID, envID string) error {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	_, err := i.offline(apiID, envID, "", nil)
	return err
}
