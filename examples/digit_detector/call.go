// Code generated from the model's spec by `maas examples --write`. DO NOT EDIT.

// Finds up to 16 handwritten digits in 96×96 ink: calls `digit_detector` over HTTP.
//
// Usage, in the project's folder: go run examples/digit_detector/call.go [IMAGE.json [URL]]
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
)

func main() {
	log.SetFlags(0)
	image := argument(1, "examples/digit_detector/image.json")
	url := argument(2, "http://127.0.0.1:8000")
	content, err := os.ReadFile(image)
	if err != nil {
		log.Fatal(err)
	}
	body := fmt.Sprintf(`{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 96, 96], "data": %s}],
		"outputs": [{"name": "boxes"}, {"name": "score"}, {"name": "class_index"}]}`, content)
	for _, output := range infer(url, []byte(body), len(body)) {
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
	request, err := http.NewRequest(http.MethodPost, url+"/v2/models/digit_detector/infer", bytes.NewReader(body))
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
