// Apig publishes APIs on a Huawei Cloud API Gateway from scripts and release
// pipelines, and reports for each whether the change was applied.
//
//	apig publish orders users -e staging -m 1.4.2 -k "$CI_PIPELINE_ID"
//	apig publish -f apis.txt -e staging -o jsonl > report.jsonl || apig settle report.jsonl
//	apig offline orders -e staging
//	apig rollback orders -e staging
//	apig status
//	apig list environments
//	apig doctor
//	apig gateway start --apis orders,users --env-file gateway.env
//
// Build it in this directory with "go build" or "go install". "go run" turns every
// exit code into 1, and leaves the program running when it is killed itself.
//
// The gateway and the credentials come from the environment, see
// [apig.ConfigFromEnv]. Reports go to stdout, everything else to stderr. Each
// command explains itself with -h.
//
// # Exit codes
//
// "apig -h" lists them. If several apply, the first of 2, 130, 77 and 1 counts. After the
// first SIGINT or SIGTERM nothing more is sent, and the report is written; after the
// second the program ends at once.
//
// # Reports
//
// The commands publish, offline, rollback and settle write a report: with -o json
// one object at the end; with -o jsonl a first line that names all APIs, a line for
// each result as soon as it is known, and a closing line with the exit code. A report
// without its closing line was cut off. A command that is killed leaves nothing of a
// report of -o json. A report has these fields:
//
//	command, instance_id, env_id, env_name, idempotency_key, remark, dry_run,
//	interrupted, exit_code
//	asked    the APIs: in the first line of -o jsonl
//	error    why there are no results, with error_code, status and request_id
//	results  of each API; with -o jsonl, lines
//
// A result has these fields:
//
//	api              as it was asked for
//	api_id, api_name, group
//	outcome          applied, not_applied, unknown, or planned after --dry-run
//	error            one line
//	error_code       the service's, such as APIG.3002
//	status           the HTTP status of the failed answer
//	request_id       for the service's support, also after a success
//	recovered        the answer was lost; the change was found in the history
//	replayed         an earlier run with the same idempotency key published it
//	already_offline  it was offline before, and --if-published was given
//	in_effect        the version in effect, after --dry-run
//	target           the version that a rollback would go back to, after --dry-run
//	record           what the gateway holds of it
//	unknown          what settle needs
//
// If an API is not found, nothing is sent, and every API has a result that says so.
// After exit code 2, a run without -o json or -o jsonl saves its report in a file
// apig-report-*.json of the working directory.
package main
