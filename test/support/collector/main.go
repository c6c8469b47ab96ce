// otel-collector HTTP-ADDRESS GRPC-ADDRESS: the OTLP receiver of OpenTelemetry's own collector. It prints every request of spans that it has accepted as
// a line of OTLP's JSON, after the line "ready".
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: otel-collector HTTP-ADDRESS GRPC-ADDRESS")
	}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	given := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"http": map[string]any{"endpoint": os.Args[1]},
		"grpc": map[string]any{"endpoint": os.Args[2]},
	}})
	if err := given.Unmarshal(config); err != nil {
		log.Fatal(err)
	}
	var writing sync.Mutex
	spans, err := consumer.NewTraces(func(_ context.Context, traces ptrace.Traces) error {
		line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
		if err != nil {
			return err
		}
		writing.Lock()
		defer writing.Unlock()
		_, err = fmt.Println(string(line))
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	ctx := context.Background()
	traces, err := factory.CreateTraces(ctx, settings, config, spans)
	if err != nil {
		log.Fatal(err)
	}
	if err := traces.Start(ctx, componenttest.NewNopHost()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, os.Interrupt)
	<-ended
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = traces.Shutdown(ctx)
}
