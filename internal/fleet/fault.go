package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// fault is why a member is not reachable, as its condition says it.
type fault struct {
	reason  mcnv1alpha1.Reason
	message string
}

// Error implements error.
func (e *fault) Error() string { return e.message }

// asFault turns any error into a fault.
func asFault(err error) *fault {
	var known *fault
	if errors.As(err, &known) {
		return known
	}
	var vetErr *VetError
	if errors.As(err, &vetErr) {
		return &fault{reason: vetErr.Reason, message: vetErr.Error() + vetErr.remedy()}
	}
	return &fault{reason: mcnv1alpha1.ReasonConnectionFailed, message: describe(err)}
}

// describe says what an attempt to reach an API server met. It is the same from one try to the next (no port, no time), because it stands in a
// condition, and holds nothing that the server said, because the server is not trusted with what users read.
func describe(err error) string {
	var (
		unknownAuthority x509.UnknownAuthorityError
		hostname         x509.HostnameError
		certificate      *tls.CertificateVerificationError
		dns              *net.DNSError
		timeout          interface{ Timeout() bool }
		operation        *net.OpError
	)
	switch {
	case apierrors.IsUnauthorized(err):
		return "the API server refuses the credential (401); run \"kubectl mcn register\" again, or renew the token or certificate in the kubeconfig"
	case apierrors.IsForbidden(err):
		return "the credential may not read the namespace kube-system (403); grant the member role to its account"
	case errors.As(err, &unknownAuthority):
		return "the API server's certificate is not signed by the kubeconfig's CA; correct certificate-authority-data"
	case errors.As(err, &hostname):
		return "the API server's certificate is for another name; correct the server, or set tls-server-name"
	case errors.As(err, &certificate):
		return "the API server's certificate is not valid; see whether it has expired or begins in the future, and whether the clocks agree"
	case errors.As(err, &dns):
		return "the API server's name cannot be resolved; check the server in the kubeconfig and the hub's DNS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the API server refuses connections; check that it runs and that the port is right"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "the API server does not answer in time; check the network path to it"
	case errors.As(err, &operation):
		return "the API server cannot be reached: network error on " + operation.Op
	case apierrors.ReasonForError(err) != "":
		return "the API server answers " + string(apierrors.ReasonForError(err))
	default:
		return "the API server does not answer as one; check the server in the kubeconfig"
	}
}
