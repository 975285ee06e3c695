"""`make broker`: a Kafka to play with, until Ctrl-C."""

import argparse
from pathlib import Path

from eddy_cli.broker.process import running_broker
from eddy_cli.console import run_command


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eddy_cli.broker", description=__doc__)
    parser.add_argument("--port", type=int, help="port for clients; a free one when left out")
    parser.add_argument("--data", type=Path, help="keep the data in this folder; a scratch folder when left out")
    options = parser.parse_args()
    with running_broker(options.port, options.data and options.data.resolve()) as broker:
        print(f"Kafka is up on {broker.bootstrap_servers}; its log: {broker.log_file}", flush=True)
        print(f"  export EDDY_KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap_servers}", flush=True)
        print(f"Stop it with Ctrl-C; its data {'stays' if options.data else 'goes with it'}.", flush=True)
        if failure := broker.wait():
            raise failure


if __name__ == "__main__":
    run_command("broker", main)
