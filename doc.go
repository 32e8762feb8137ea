// Package apig publishes APIs on Huawei Cloud API Gateway (APIG, dedicated
// gateway, API v2) and takes them offline.
package apig
