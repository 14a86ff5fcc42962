// Prefetch: there is room for every packet that was asked for, and every beat belongs to a read.
`default_nettype none
module vla_fetch_prefetch_sva (
  input wire       clk_i,
  input wire       rst_i,
  input wire       redirect_i,
  input wire       r_valid_i,
  input wire       arrived,
  input wire       room_kept,
  input wire       underway
);

  packet_has_room : assert property (
    @(posedge clk_i) disable iff (rst_i) arrived && !redirect_i |-> room_kept
  ) else $error("%m: a fetched packet is lost");

  beat_has_read : assert property (
    @(posedge clk_i) disable iff (rst_i) r_valid_i |-> underway
  ) else $error("%m: a beat without a read");

endmodule

bind vla_fetch_prefetch vla_fetch_prefetch_sva u_sva (
  .clk_i, .rst_i, .redirect_i, .r_valid_i, .arrived(r_valid_i && high_q && drop_q == 0),
  .room_kept(unused_ready), .underway(flight_q != 0)
);
`default_nettype wire
