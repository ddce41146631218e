// Drives a VM with digitalocean/go-qemu: typed queries, raw commands, events. Prints one JSON line.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
	"github.com/digitalocean/go-qemu/qmp/raw"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	monitor, err := qmp.NewSocketMonitor("unix", os.Args[1], 5*time.Second)
	check(err)
	check(monitor.Connect())
	events, err := monitor.Events(context.Background())
	check(err)
	typed := raw.NewMonitor(monitor)
	version, err := typed.QueryVersion()
	check(err)
	status, err := typed.QueryStatus()
	check(err)
	pci, err := typed.QueryPCI()
	check(err)
	name, err := typed.QueryName()
	check(err)
	seen := make(chan []string)
	go func() {
		names := []string{}
		for event := range events {
			names = append(names, event.Event)
			if event.Data["phases"] != nil {
				seen <- names
				return
			}
		}
	}()
	command := fmt.Sprintf(`{"execute":"x-zmend-inject-error","arguments":{"id":"%s","pec":58}}`, os.Args[2])
	_, err = monitor.Run([]byte(command))
	check(err)
	_, unknown := monitor.Run([]byte(`{"execute":"no-such-command"}`))
	line, err := json.Marshal(map[string]interface{}{
		"major":   version.Qemu.Major,
		"status":  status.Status.String(),
		"name":    name.Name,
		"devices": len(pci[0].Devices),
		"events":  <-seen,
		"refused": unknown != nil,
	})
	check(err)
	fmt.Println(string(line))
	check(monitor.Disconnect())
}
