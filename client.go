package apig

import (
	"fmt"
	"net/url"
)

// Client publishes APIs on one gateway and takes them offline. It is made by
// New or Instance, is safe for concurrent use, and never changes afterwards.
type Client struct {
	service
	project  string // the address of the gateways of the project
	actions  string // the address to publish at and to take offline
	gateways *gateways
	turns    *turns // of this gateway
}

// New makes a Client from cfg. It does no I/O. Its error matches
// [ErrInvalidArgument] and names every mistake in cfg at once. What is wrong in a
// source that fetches credentials its first call says, for [IAM], [Agency] and
// [ECSKeys] as ErrInvalidArgument too.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &Client{service: newService(cfg)}
	c.gateways = &gateways{late: 2 * c.retry.SettleWait, byGateway: map[string]*turns{}}
	c.project = c.base + "/v2/" + url.PathEscape(cfg.ProjectID) + "/apigw/instances/"
	c.pointAt(cfg.InstanceID)
	return c, nil
}

// Instance returns a client for another gateway of the same project, with the
// same configuration, connections and credentials. Its error matches
// [ErrInvalidArgument]. What calls take turns by is remembered for each gateway
// for as long as one of the clients lives.
func (c *Client) Instance(id string) (*Client, error) {
	var bad problems
	bad.id("InstanceID", id)
	if err := bad.err(); err != nil {
		return nil, err
	}
	other := *c
	other.pointAt(id)
	return &other, nil
}

func (c *Client) pointAt(instanceID string) {
	c.base = c.project + url.PathEscape(instanceID)
	c.actions = c.base + "/apis/action"
	c.turns = c.gateways.of(instanceID)
}

// CloseIdleConnections closes the connections that are idle now, those of the
// caller's own transport included if [Config.HTTPClient] had one.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Format prints which gateway the client is for, whatever the verb, so that no
// formatting of a *Client shows what it holds.
func (c *Client) Format(s fmt.State, _ rune) {
	if c == nil {
		fmt.Fprint(s, "apig.Client(nil)")
		return
	}
	fmt.Fprintf(s, "apig.Client(%s)", c.base)
}
