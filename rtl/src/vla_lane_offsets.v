// Where the lanes of a group of words lie that are `pitch` words apart.
// Does: give the distance of every lane from the first, and that of the next group.
// Latency: both hold from the clock edge after load_i. No handshake.
`default_nettype none
module vla_lane_offsets #(
  parameter Aw    = 17,  // bits of a word address; sums wrap
  parameter Lanes = 4    // words of a group
) (
  input  wire                clk_i,
  input  wire                load_i,
  input  wire [Aw-1:0]       pitch_i,    // 1: words that follow one another
  output reg  [Lanes*Aw-1:0] offsets_o,
  output reg  [Aw-1:0]       step_o
);

  genvar g;
  generate
    for (g = 0; g < Lanes; g = g + 1) begin : g_lane
      localparam [Aw-1:0] Lane = g;
      always @(posedge clk_i) begin
        if (load_i) offsets_o[g*Aw +: Aw] <= pitch_i * Lane;
      end
    end
  endgenerate

  always @(posedge clk_i) begin
    if (load_i) step_o <= pitch_i * Lanes[Aw-1:0];
  end

endmodule
`default_nettype wire
