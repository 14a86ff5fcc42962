// Prefetch: there is room for every packet that was asked for, every beat belongs to a read, and a replay goes back to a
// packet that is held.
`default_nettype none
module vla_fetch_prefetch_sva (
  input wire       clk_i,
  input wire       rst_i,
  input wire       redirect_i,
  input wire       r_valid_i,
  input wire       arrived,
  input wire       room_kept,
  input wire       underway,
  input wire       replay_i,
  input wire       hold_i,
  input wire       there
);

  packet_has_room : assert property (
    @(posedge clk_i) disable iff (rst_i) arrived && !redirect_i |-> room_kept
  ) else $error("%m: a fetched packet is lost");

  beat_has_read : assert property (
    @(posedge clk_i) disable iff (rst_i) r_valid_i |-> underway
  ) else $error("%m: a beat without a read");

  replay_is_held : assert property (
    @(posedge clk_i) disable iff (rst_i) replay_i |-> hold_i && there
  ) else $error("%m: a replay of a packet that is not there");

endmodule

bind vla_fetch_prefetch vla_fetch_prefetch_sva u_sva (
  .clk_i, .rst_i, .redirect_i, .r_valid_i, .arrived(arrives),
  .room_kept((in_q ^ low_q) != {1'b1, {IndexW{1'b0}}}), .underway(flight_q != 0),
  .replay_i, .hold_i, .there(line_i[CountW-1:0] - low_q < in_q - low_q)
);
`default_nettype wire
