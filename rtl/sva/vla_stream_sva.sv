// Rules of a ready/valid stream: a valid that is not taken stays, and its payload with it.
// One instance checks Lanes streams side by side.
`default_nettype none
module vla_stream_sva #(
  parameter int Lanes = 1,
  parameter int Width = 1  // payload bits of a lane
) (
  input wire                   clk_i,
  input wire                   rst_i,
  input wire [Lanes-1:0]       valid_i,
  input wire [Lanes-1:0]       ready_i,
  input wire [Lanes*Width-1:0] payload_i
);

  for (genvar l = 0; l < Lanes; l++) begin : g_lane
    valid_stays : assert property (
      @(posedge clk_i) disable iff (rst_i) valid_i[l] && !ready_i[l] |=> valid_i[l]
    ) else $error("%m: valid fell before ready");

    payload_stays : assert property (
      @(posedge clk_i) disable iff (rst_i)
      valid_i[l] && !ready_i[l] |=> $stable(payload_i[l*Width +: Width])
    ) else $error("%m: the payload changed before ready");
  end

endmodule
`default_nettype wire
