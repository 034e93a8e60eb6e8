// Code generated from the model's spec by `maas examples --write`. DO NOT EDIT.

// Tells which of ten photographs a picture is a piece of, or the ten classes of CIFAR-10: calls `photo` over HTTP.
//
// Usage, in the project's folder: go run examples/photo/call.go [PICTURE [URL]]
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
)

func main() {
	log.SetFlags(0)
	picture := argument(1, "examples/photo/cat_eye.png")
	url := argument(2, "http://127.0.0.1:8000")
	content, err := os.ReadFile(picture)
	if err != nil {
		log.Fatal(err)
	}
	// JSON cannot carry the bytes of a file. They follow it, after their count in 4 bytes, the lowest first.
	header := fmt.Sprintf(`{"inputs": [{"name": "picture", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": %d}}],
		"outputs": [{"name": "label"}, {"name": "score"}]}`, 4+len(content))
	body := append([]byte(header), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(body[len(header):], uint32(len(content)))
	for _, output := range infer(url, append(body, content...), len(header)) {
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
	request, err := http.NewRequest(http.MethodPost, url+"/v2/models/photo/infer", bytes.NewReader(body))
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
