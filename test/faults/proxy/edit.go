package proxy

import (
	"io"
	"net/http"
)

// Edit replaces the body of an answer of 200. It is not for watches.
func Edit(name string, edit func(body []byte) []byte) Fault {
	return Fault{name: "edit " + name, serve: func(x *exchange) {
		answer, err := x.forward()
		if err != nil {
			x.abort()
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil {
			x.abort()
		}
		if answer.StatusCode == http.StatusOK {
			body = edit(body)
		}
		x.answer(answer.StatusCode, answer.Header.Get("Content-Type"), body)
	}}
}
