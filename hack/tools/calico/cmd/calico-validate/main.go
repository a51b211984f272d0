// Command calico-validate tells what Calico would say about objects of projectcalico.org/v3. It reads one JSON object per line and answers
// each with one line, {"name": "...", "errors": [...]}, in the same order; errors is empty if all is well. It ends with its input.
//
// An object is checked as Calico's aggregated API would (its own decoder's types, validator and name rules) and as its native API would
// (lists that are sets, names of Kubernetes objects), because what we write has to pass both.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sirupsen/logrus"
)

// answer is the line written for one object.
type answer struct {
	Name   string   `json:"name"`
	Errors []string `json:"errors"`
}

func main() {
	logrus.SetLevel(logrus.PanicLevel) // the validator logs what it finds; the answers say it
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "calico-validate:", err)
		os.Exit(1)
	}
}

// serve answers each line of in on out, at once, so that a caller may wait for the answer before it writes on.
func serve(in io.Reader, out io.Writer) error {
	reader, writer := bufio.NewReader(in), bufio.NewWriter(out)
	encoder := json.NewEncoder(writer)
	for {
		line, err := reader.ReadBytes('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 {
			name, problems := check(text)
			if problems == nil {
				problems = []string{}
			}
			if err := encoder.Encode(answer{Name: name, Errors: problems}); err != nil {
				return fmt.Errorf("writing an answer: %w", err)
			}
			if err := writer.Flush(); err != nil {
				return fmt.Errorf("writing an answer: %w", err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading an object: %w", err)
		}
	}
}
