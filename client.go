package apig

import (
	"fmt"
	"net/url"
)

// Client publishes APIs on one gateway and takes them offline. It is made by
// New or Instance, is safe for concurrent use, and its settings never change.
type Client struct {
	service
	instanceID string
	project    string // the address of the gateways of the project
	actions    string // the address to publish at and to take offline
	untagged   bool   // see Config.DisableTags
}

// New makes a Client from cfg. It does no I/O. Its error matches
// [ErrInvalidArgument] and names every mistake in cfg at once. A mistake in [IAM]
// or [ECSKeys] is found by the first call; its error matches ErrInvalidArgument too.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &Client{service: newService(cfg), untagged: cfg.DisableTags}
	c.throttle = &throttle{}
	c.project = c.base + "/v2/" + url.PathEscape(cfg.ProjectID) + "/apigw/instances/"
	c.pointAt(cfg.InstanceID)
	return c, nil
}

// Instance returns a client for another gateway of the same project, with the
// same configuration, connections and credentials. While the service throttles one of
// the two, both wait. The error matches [ErrInvalidArgument].
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
	c.instanceID = instanceID
	c.base = c.project + url.PathEscape(instanceID)
	c.actions = c.base + "/apis/action"
}

// CloseIdleConnections closes the connections that are idle now. If
// [Config.HTTPClient] is set, these are the connections of its transport, or of
// http.DefaultTransport if it has none.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Format prints the address of the gateway with any verb, so that no formatting of a
// *Client shows a secret.
func (c *Client) Format(s fmt.State, _ rune) {
	if c == nil {
		fmt.Fprint(s, "apig.Client(nil)")
		return
	}
	fmt.Fprintf(s, "apig.Client(%s)", c.base)
}
