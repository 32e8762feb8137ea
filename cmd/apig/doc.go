// Apig publishes APIs on a Huawei Cloud API Gateway from scripts and release
// pipelines, and says of each what became of it.
//
//	apig publish -api orders -env staging -remark 1.4.2
//	apig publish -file apis.txt -parallel 16 -json=lines > report.jsonl
//	apig settle report.jsonl
//	apig status
//	apig rollback -api orders -env staging
//	apig gateway -apis orders,users -env-file gateway.env
//
// The gateway and the credentials come from the environment, see
// [apig.ConfigFromEnv]. Reports go to stdout, everything else to stderr. Each
// command says more with -h.
//
// # Exit codes
//
//	0    done: everything that was asked for is in effect
//	1    not applied: at least one change was not made, or something could not be
//	     looked up or read
//	2    unknown: what became of at least one change could not be found out; give
//	     the report to settle
//	64   usage or configuration: nothing was sent
//	130  interrupted before anything was sent that changes something
//
// Where several are true, the first of 2, 130 and 1 counts. On the first SIGINT
// or SIGTERM nothing more is sent, what was under way is reported as unknown if it
// is, and the report is written; on the second the program ends at once.
//
// # Reports
//
// The commands that change something (publish, offline, rollback), and settle,
// write a report as JSON: with -json=object, the default, one object at the end;
// with -json=lines one result a line, as soon as it is known. Both have the
// results in the same form, the object in the order of the input:
//
//	command          that made the change
//	instance_id, env_id, api_id, api_name
//	api              as it was asked for
//	outcome          applied, not_applied, unknown, or planned after -dry-run
//	error            one line, unless it was applied
//	error_code       the service's, such as APIG.3002
//	status           the HTTP status of the answer that failed
//	request_id       what the service's support asks for, also after a success
//	remark           as it was sent, with its tag
//	attempts         how many requests were made to change this API
//	recovered        the answer was lost, and the change found in the history
//	already_offline  it was offline before, and -idempotent was given
//	record           what the gateway holds of it
//	unknown          what settle needs
//
// A failure that concerns all of it (configuration, environment, a file) has the
// fields command, exit_code, error, error_code, status and request_id: in the
// object, or as a line. If an API cannot be found, nothing is sent, and every API
// has a result that says so.
//
// What settle writes is the same report, in which what was unknown is known, or is
// unknown still; it can be settled again. So "apig publish … > report.json || apig
// settle report.json" ends with the exit code of the whole.
//
// A process that is killed with SIGKILL reports nothing of the changes that are
// under way. With -json=journal there is a line with the outcome "waiting" for each
// API at the start, and one with "sent" before its change is sent for the first
// time, from which settle goes on; a later line for the same API replaces them.
//
// # The gateway
//
// The command gateway runs the gateway of package apigtest, for tests in any
// language. Below /_apigtest/ such a test sees what happened and chooses what goes
// wrong. Bodies and answers are JSON; what is wrong with a request is said with
// status 400 in {"error": "…"}.
//
//	curl $APIGTEST_URL/_apigtest/
//	    the IDs of all that the gateway was made with, and this list
//	curl $APIGTEST_URL/_apigtest/journal
//	    {"journal":[{"seq":1,"time":"…","op":"online","instance_id":"…","api_id":"…",
//	    "env_id":"…","remark":"…","version_id":"…","request_id":"…"}]}
//	    every change that was applied, in order; op is online, offline, switch or
//	    offline-version; ?api_id=, ?env_id= and ?since= (a seq) select
//	curl $APIGTEST_URL/_apigtest/requests?op=action
//	    {"requests":[{"seq":1,"request_id":"…","time":"…","op":"action","method":"POST",
//	    "path":"…","query":"…","api_id":"…","user_agent":"…","body":{…}}]}
//	    every request that was received, in order, without what is secret;
//	    ?op=, ?api_id= and ?since= (a seq) select
//	curl $APIGTEST_URL/_apigtest/faults
//	    {"names":["…"],"struck":0}
//	curl $APIGTEST_URL/_apigtest/faults -d '{"name":"apply-then-close"}'
//	    strikes the next request. "times" strikes as many, -1 all; "skip" lets as
//	    many through first; "op" and "api_id" choose which; "delay" and "after"
//	    are the times of a fault that takes one, such as "300ms". Faults that were
//	    chosen come before those of -faults, in the order in which they were chosen
//	curl $APIGTEST_URL/_apigtest/faults -X DELETE
//	    ends all faults, those of -faults too
//	curl $APIGTEST_URL/_apigtest/clock -X PUT -d '{"now":"2026-01-02T15:04:05Z"}'
//	    sets the gateway's clock, which goes on from there; so does
//	    {"offset":"25h"}; {"date_skew":"3s"} moves the header Date against it
//	curl $APIGTEST_URL/_apigtest/clock
//	    {"now":"…","offset":"0s","date_skew":"0s"}
//	curl $APIGTEST_URL/_apigtest/reset -X POST
//	    forgets publications, journal, requests, chosen faults and clock; APIs,
//	    environments and credentials stay
package main
