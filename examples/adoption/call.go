// Code generated from the model's spec by `maas examples --write`. DO NOT EDIT.

// Forecasts the next five years of a share from a table's column, cell by cell: calls `adoption` over HTTP.
//
// Usage, in the project's folder: go run examples/adoption/call.go [OBSERVATION.csv [URL]]
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"math/big"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	observation := argument(1, "examples/adoption/iowa_renewables.csv")
	url := argument(2, "http://127.0.0.1:8000")
	content, err := os.ReadFile(observation)
	if err != nil {
		log.Fatal(err)
	}
	// The last column, without its heading; an empty line is a value that is missing.
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")[1:]
	if len(lines) == 0 {
		log.Fatalf("%s holds no line below its heading", observation)
	}
	// All steps of a sequence bear one number, and the server keeps its state from one to the next.
	number, err := rand.Int(rand.Reader, big.NewInt(math.MaxInt64))
	if err != nil {
		log.Fatal(err)
	}
	var answer []output
	for step, line := range lines {
		cells := strings.Split(strings.TrimRight(line, "\r"), ",")
		value, err := json.Marshal(cells[len(cells)-1])
		if err != nil {
			log.Fatal(err)
		}
		body := fmt.Sprintf(`{"inputs": [{"name": "observation", "datatype": "BYTES", "shape": [1, 1], "data": [%s]}],
			"outputs": [{"name": "forecast"}],
			"parameters": {"sequence_id": %d, "sequence_start": %t, "sequence_end": %t}}`,
			value, number, step == 0, step == len(lines)-1)
		answer = infer(url, []byte(body), len(body))
	}
	for _, output := range answer {
		fmt.Printf("%s: %v\n", output.Name, output.Data)
	}
}

func argument(position int, otherwise string) string {
	if len(os.Args) > position {
		return os.Args[position]
	}
	return otherwise
}

type output struct {
	Name string
	Data []any
}

func infer(url string, body []byte, jsonSize int) []output {
	request, err := http.NewRequest(http.MethodPost, url+"/v2/models/adoption/infer", bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Inference-Header-Content-Length", strconv.Itoa(jsonSize))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Error   string
		Outputs []output
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		log.Fatalf("%s: %v", response.Status, err)
	}
	if response.StatusCode != http.StatusOK {
		log.Fatal(answer.Error)
	}
	return answer.Outputs
}
