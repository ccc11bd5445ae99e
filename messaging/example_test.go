// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"context"
	"log"
	"net"
	"os"
	"os/signal"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// A homeserver's core, whole: a bot that joins a room of another server and answers "pong" to everyone who says "ping" there.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	certificate, err := transport.FileCertificate("fullchain.pem", "privkey.pem")
	if err != nil {
		log.Fatal(err)
	}
	server, err := messaging.Open(ctx, messaging.Config{ServerName: "example.org", DataDir: "data", TLS: certificate.Config(nil)})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	listener, err := net.Listen("tcp", ":8448")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(ctx, listener)

	bot := ident.UserID("@bot:example.org")
	if err := server.Join(ctx, bot, "!room:matrix.org", []ident.ServerName{"matrix.org"}); err != nil {
		log.Print(err)
	}
	server.Subscribe(ctx, "bot", func(ctx context.Context, d messaging.Delivery) error {
		if body, _ := d.Event.Content().Get("body").Text(); body != "ping" {
			return nil
		}
		_, err := server.Send(ctx, d.Room, bot, "m.room.message", map[string]string{"msgtype": "m.text", "body": "pong"})
		return err
	})
}
