// Code generated from the model's spec by `maas examples --write`. DO NOT EDIT.

// Goes on from a prompt, one streamed answer a token: calls `tiny_gpt_text` over HTTP.
//
// Usage, in the project's folder: go run examples/tiny_gpt_text/call.go [PROMPT [URL]]
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	log.SetFlags(0)
	prompt := argument(1, "def read(path):\n")
	url := argument(2, "http://127.0.0.1:8000")
	value, err := json.Marshal(prompt)
	if err != nil {
		log.Fatal(err)
	}
	body := fmt.Sprintf(`{"prompt": %s, "max_tokens": 32}`, value)
	response, err := http.Post(url+"/v2/models/tiny_gpt_text/generate_stream", "application/json", strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	// Each event is one line, `data: {...}`, with one piece of the answer; an error may come as a line of its own.
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		line := strings.TrimPrefix(lines.Text(), "data: ")
		if line == "" {
			continue
		}
		var event struct{ Text, Error string }
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			log.Fatal(err)
		}
		if event.Error != "" {
			log.Fatal(event.Error)
		}
		fmt.Print(event.Text)
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Println()
}

func argument(position int, otherwise string) string {
	if len(os.Args) > position {
		return os.Args[position]
	}
	return otherwise
}
