// One step from a POOL window to the next, in the order pixel, row, channel block.
// Does not: hold state (`vla_vector_windows` chains two of these and does).
// Latency: combinational. Counts include the present pixel, row and block, so 1 means the last.
`default_nettype none
module vla_vector_place #(
  parameter Aw = 17  // address bits of the activation scratchpad
) (
  input  wire               en_i,
  input  wire [13:0]        out_w_i,
  input  wire [10:0]        out_h_i,
  input  wire signed [19:0] x0_i,          // first window of a row
  input  wire signed [19:0] y0_i,          // first row of windows
  input  wire [3:0]         stride_w_i,
  input  wire [3:0]         stride_h_i,
  input  wire [Aw-1:0]      pitch_i,
  // this window
  input  wire [13:0]        ox_i,          // windows left in the row
  input  wire [10:0]        oy_i,          // rows left in the block
  input  wire [9:0]         c_i,           // blocks left
  input  wire signed [19:0] x_i,
  input  wire signed [19:0] y_i,
  input  wire [Aw-1:0]      origin_i,
  // the next one
  output reg  [13:0]        ox_o,
  output reg  [10:0]        oy_o,
  output reg  [9:0]         c_o,
  output reg  signed [19:0] x_o,
  output reg  signed [19:0] y_o,
  output reg  [Aw-1:0]      origin_o,
  output reg                end_o          // there is none
);

  always @* begin
    ox_o     = ox_i - 14'd1;
    oy_o     = oy_i;
    c_o      = c_i;
    x_o      = x_i + $signed({16'd0, stride_w_i});
    y_o      = y_i;
    origin_o = origin_i;
    end_o    = 1'b0;
    if (en_i && ox_i == 14'd1) begin
      ox_o = out_w_i;
      x_o  = x0_i;
      if (oy_i != 11'd1) begin
        oy_o = oy_i - 11'd1;
        y_o  = y_i + $signed({16'd0, stride_h_i});
      end else begin
        oy_o     = out_h_i;
        y_o      = y0_i;
        c_o      = c_i - 10'd1;
        origin_o = origin_i + pitch_i;
        end_o    = c_i == 10'd1;
      end
    end
  end

endmodule
`default_nettype wire
